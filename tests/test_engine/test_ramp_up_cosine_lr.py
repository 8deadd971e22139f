"""The schedule of section 4.1 against its formula, alone and in MMEngine's Runner."""

import contextlib

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner

from mmdet_frn.engine import RampUpCosineLR


def formula(peak, ramp_up, total):
    """Learning rate of every step: up along the first half wave of a cosine, down the second."""
    up = peak / 2 * (1 - np.cos(np.linspace(0, np.pi, ramp_up, endpoint=False)))
    down = peak / 2 * (1 + np.cos(np.linspace(0, np.pi, total - ramp_up, endpoint=False)))
    return np.concatenate([up, down])


def optimizer(*lrs):
    groups = [{'params': [torch.nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in lrs]
    return torch.optim.SGD(groups, lr=1.0)


def walk(sgd, scheduler, steps):
    """Learning rates of all groups that each of ``steps`` steps is made with: (steps, groups)."""
    seen = []
    for _ in range(steps):
        seen.append([group['lr'] for group in sgd.param_groups])
        sgd.step()
        scheduler.step()
    return np.array(seen)


@pytest.mark.parametrize(('ramp_up', 'total'), [(10, 100), (0, 7), (1, 2), (6, 7), (3, 1000)])
def test_every_step_of_every_group(ramp_up, total):
    sgd = optimizer(0.05, 2.0)
    scheduler = RampUpCosineLR(sgd, ramp_up=ramp_up, end=total, by_epoch=False)
    seen = walk(sgd, scheduler, total)
    for i, peak in enumerate((0.05, 2.0)):
        np.testing.assert_allclose(seen[:, i], formula(peak, ramp_up, total), atol=1e-15)


def test_it_leaves_zero_and_reaches_the_peak_exactly():
    sgd = optimizer(0.05)
    seen = walk(sgd, RampUpCosineLR(sgd, ramp_up=10, end=100, by_epoch=False), 100)[:, 0]
    assert seen[0] == 0
    assert seen[1] > 0
    assert seen[5] == pytest.approx(0.025)
    assert seen[10] == seen.max() == 0.05
    assert seen[55] == pytest.approx(0.025)


def test_steps_count_from_begin_and_nothing_moves_after_end():
    sgd = optimizer(0.05)
    scheduler = RampUpCosineLR(sgd, ramp_up=2, begin=3, end=10, by_epoch=False)
    seen = walk(sgd, scheduler, 14)[:, 0]
    np.testing.assert_allclose(seen[:3], 0.05)
    np.testing.assert_allclose(seen[3:10], formula(0.05, 2, 7), atol=1e-15)
    np.testing.assert_allclose(seen[10:], seen[9])


@pytest.mark.parametrize('at', [1, 4, 9, 10, 11, 30])
def test_a_resumed_schedule_goes_on_as_the_unbroken_one(at):
    sgd = optimizer(0.05, 0.1)
    scheduler = RampUpCosineLR(sgd, ramp_up=10, end=40, by_epoch=False)
    walk(sgd, scheduler, at)
    saved = scheduler.state_dict(), sgd.state_dict()
    resumed = optimizer(0.05, 0.1)
    again = RampUpCosineLR(resumed, ramp_up=10, end=40, by_epoch=False)
    resumed.load_state_dict(saved[1])
    again.load_state_dict(saved[0])
    np.testing.assert_array_equal(walk(resumed, again, 40 - at), walk(sgd, scheduler, 40 - at))


def test_last_step_without_a_state_goes_on_too():
    sgd = optimizer(0.05)
    sgd.param_groups[0].update(initial_lr=0.05, lr=0.0)
    RampUpCosineLR(sgd, ramp_up=10, end=40, by_epoch=False, last_step=6)
    assert sgd.param_groups[0]['lr'] == pytest.approx(formula(0.05, 10, 40)[7])


@pytest.mark.parametrize(
    ('ramp_up', 'begin', 'end'), [(-1, 0, 5), (5, 0, 5), (9, 0, 5), (5, 5, 10)]
)
def test_a_ramp_that_does_not_fit_is_refused(ramp_up, begin, end):
    with pytest.raises(ValueError, match=rf'ramp_up must .* {end - begin}, but is {ramp_up}$'):
        RampUpCosineLR(optimizer(0.1), ramp_up=ramp_up, begin=begin, end=end)


def test_epochs_are_converted_to_steps():
    sgd = optimizer(0.05)
    cfg = {
        'type': 'RampUpCosineLR',
        'ramp_up': 0.5,
        'end': 4,
        'convert_to_iter_based': True,
    }
    scheduler = PARAM_SCHEDULERS.build(cfg, default_args={'optimizer': sgd, 'epoch_length': 6})
    assert not scheduler.by_epoch
    np.testing.assert_allclose(walk(sgd, scheduler, 24)[:, 0], formula(0.05, 3, 24), atol=1e-15)
    with pytest.raises(ValueError, match='by_epoch is False'):
        RampUpCosineLR.build_iter_from_epoch(sgd, ramp_up=1, end=4, by_epoch=False, epoch_length=6)


class Toy(BaseModel):
    """Two parameters, the second of which has its own learning rate."""

    def __init__(self):
        super().__init__()
        self.slow = torch.nn.Linear(1, 1)
        self.fast = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        return {'loss': self.fast(self.slow(torch.stack(inputs))).square().mean()}


class Record(Hook):
    """Keeps the learning rates of both layers that each step was made with."""

    priority = 'VERY_HIGH'  # before MMEngine's scheduler hook moves on

    def __init__(self):
        self.seen = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        groups = runner.optim_wrapper.optimizer.param_groups
        slow, _, fast, _ = (group['lr'] for group in groups)
        self.seen.append([slow, fast])


class Interrupted(Exception):  # noqa: N818
    """What Stop ends a training with."""


class Stop(Hook):
    """Interrupts the training after a step's checkpoint."""

    priority = 'LOWEST'

    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.after:
            raise Interrupted


def train(work_dir, ramp_up, *, stop_after=None, resume=False, auto_scale_lr=None):
    """Learning rates of the steps, of 20, that a Runner makes with 4 images each."""
    record = Record()
    runner = Runner(
        Toy(),
        str(work_dir),
        train_dataloader={
            'batch_size': 4,
            'num_workers': 0,
            'sampler': {'type': 'InfiniteSampler'},
            'dataset': [{'inputs': torch.ones(1)} for _ in range(8)],
        },
        train_cfg={'type': 'IterBasedTrainLoop', 'max_iters': 20},
        optim_wrapper={
            'type': 'OptimWrapper',
            'optimizer': {'type': 'SGD', 'lr': 0.01},
            'paramwise_cfg': {'custom_keys': {'fast': {'lr_mult': 4}}},
        },
        # The Runner fills in the end.
        param_scheduler={'type': 'RampUpCosineLR', 'by_epoch': False, 'ramp_up': ramp_up},
        auto_scale_lr=auto_scale_lr,
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1}},
        custom_hooks=[record, Stop(stop_after)],
        resume=resume,
        experiment_name=f'{work_dir}-{stop_after}-{resume}',
    )
    with contextlib.suppress(Interrupted):
        runner.train()
    return np.array(record.seen)


def expected(peak, ramp_up):
    return np.stack([formula(peak, ramp_up, 20), formula(4 * peak, ramp_up, 20)], axis=1)


@pytest.mark.parametrize('ramp_up', [0, 5])
def test_a_runner_trains_with_it(tmp_path, ramp_up):
    np.testing.assert_allclose(train(tmp_path, ramp_up), expected(0.01, ramp_up), atol=1e-15)


@pytest.mark.parametrize('stop_after', [1, 3, 5, 12])
def test_a_runner_resumes_within_the_ramp_and_after_it(tmp_path, stop_after):
    before = train(tmp_path, 5, stop_after=stop_after)
    after = train(tmp_path, 5, resume=True)
    assert len(before) == stop_after
    np.testing.assert_allclose(np.concatenate([before, after]), expected(0.01, 5), atol=1e-15)


def test_auto_scale_lr_scales_the_peak_once(tmp_path):
    scale = {'enable': True, 'base_batch_size': 16}
    before = train(tmp_path, 5, stop_after=7, auto_scale_lr=scale)
    after = train(tmp_path, 5, resume=True, auto_scale_lr=scale)
    np.testing.assert_allclose(
        np.concatenate([before, after]), expected(0.01 * 4 / 16, 5), atol=1e-15
    )
