"""Learning rate and steps at other batch sizes, against the paper's section 4.3."""

import pytest
from mmengine.config import Config

from mmdet_frn.experiments.scaling import scale_steps, scale_to_batch
from mmdet_frn.utils.errors import UsageError


def config(**changes):
    return Config(
        {
            'train_dataloader': {'batch_size': 8},
            'train_cfg': {
                'type': 'IterBasedTrainLoop',
                'max_iters': 125000,
                'val_interval': 25000,
                'val_begin': 1,
            },
            'default_hooks': {'checkpoint': {'interval': 5000}},
            'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.1}},
            'param_scheduler': [
                {'type': 'LinearLR', 'by_epoch': False, 'begin': 0, 'end': 1000},
                {
                    'type': 'CosineAnnealingLR',
                    'by_epoch': False,
                    'begin': 1000,
                    'end': 125000,
                    'T_max': 124000,
                    'eta_min': 0.001,
                },
                {'type': 'MultiStepLR', 'by_epoch': True, 'milestones': [8, 11]},
                {'type': 'RampUpCosineLR', 'by_epoch': False, 'ramp_up': 1500, 'end': 125000},
            ],
            'auto_scale_lr': {'enable': True, 'base_batch_size': 64},
            **changes,
        }
    )


@pytest.mark.parametrize('images', [8, 4, 2])
def test_the_papers_steps_and_learning_rates(images):
    cfg = config()
    scale_to_batch(cfg, images, num_gpus=8)
    total = 8 * images
    assert cfg.train_cfg.max_iters == 125000 * 64 // total
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.1 * total / 64)
    assert cfg.train_dataloader.batch_size == images
    linear, cosine, epochs, ramp = cfg.param_scheduler
    assert linear.end == cosine.begin == 1000 * 64 // total
    assert (cosine.end, cosine.T_max) == (cfg.train_cfg.max_iters, 124000 * 64 // total)
    assert cosine.eta_min == pytest.approx(0.001 * total / 64)
    assert epochs.milestones == [8, 11]
    assert (ramp.ramp_up, ramp.end) == (1500 * 64 // total, cfg.train_cfg.max_iters)
    assert cfg.default_hooks.checkpoint.interval == 5000 * 64 // total
    # MMEngine must not scale once more.
    assert not cfg.auto_scale_lr.enable


def test_epochs_stay():
    cfg = config(train_cfg={'type': 'EpochBasedTrainLoop', 'max_epochs': 12})
    scale_to_batch(cfg, 2)
    assert cfg.train_cfg == {'type': 'EpochBasedTrainLoop', 'max_epochs': 12}
    assert cfg.default_hooks.checkpoint.interval == 5000


def test_no_number_of_steps_becomes_zero_by_rounding():
    cfg = config()
    scale_steps(cfg, 1e-6)
    assert cfg.train_cfg == {
        'type': 'IterBasedTrainLoop',
        'max_iters': 1,
        'val_interval': 1,
        'val_begin': 1,
    }
    assert cfg.param_scheduler[0].begin == 0


@pytest.mark.parametrize(('steps', 'ramp_up'), [(1, 0), (2, 1), (125, 2)])
def test_a_ramp_stays_shorter_than_a_short_training(steps, ramp_up):
    cfg = config()
    scale_steps(cfg, steps / 125000)
    assert (cfg.param_scheduler[-1].ramp_up, cfg.param_scheduler[-1].end) == (ramp_up, steps)


def test_no_ramp_stays_no_ramp():
    ramp = {'type': 'RampUpCosineLR', 'by_epoch': False, 'ramp_up': 0, 'end': 125000}
    cfg = config(param_scheduler=[ramp])
    scale_steps(cfg, 2)
    assert cfg.param_scheduler[0].ramp_up == 0


def test_a_config_without_base_batch_size_is_refused():
    with pytest.raises(UsageError, match=r'names no auto_scale_lr\.base_batch_size'):
        scale_to_batch(config(auto_scale_lr={}), 2)


@pytest.mark.parametrize(('images', 'gpus'), [(0, 1), (2, 0), (-1, 1)])
def test_batches_below_one_are_refused(images, gpus):
    with pytest.raises(UsageError, match='must be >= 1'):
        scale_to_batch(config(), images, gpus)
