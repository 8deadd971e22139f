"""One process that accumulates gradients ends with the weights of several that average them."""

import pytest
import torch

from mmdet_frn.engine import accumulate
from mmdet_frn.experiments.results import read_scalars

STEPS, PROCESSES = 8, 2


@pytest.fixture
def cfg(tiny_cfg):
    """Return a function that makes the config of the processes: SGD, clipped, with a warm-up."""

    def make(norm):
        cfg = tiny_cfg(norm, STEPS)
        cfg.optim_wrapper = {
            'type': 'OptimWrapper',
            'optimizer': {'type': 'SGD', 'lr': 0.02, 'momentum': 0.9, 'weight_decay': 1e-3},
            'clip_grad': {'max_norm': 1.0},
        }
        cfg.param_scheduler = [
            {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'begin': 0, 'end': 3},
            {'type': 'CosineAnnealingLR', 'eta_min': 0, 'by_epoch': False, 'begin': 3, 'end': 8},
        ]
        return cfg

    return make


def learning_rates(folder):
    return {step: record['lr'] for step, record in read_scalars(folder)[0].items()}


@pytest.mark.slow
@pytest.mark.parametrize('norm', ['frn', 'gn'])
def test_weights_and_learning_rates_are_those_of_two_processes(norm, cfg, train, weights):
    several = train(cfg(norm), 'several', processes=PROCESSES)
    accumulated = cfg(norm)
    accumulate(accumulated, PROCESSES)
    one = train(accumulated, 'one')

    rates = learning_rates(several)
    assert len(set(rates.values())) > STEPS // 2
    assert {step * PROCESSES: lr for step, lr in rates.items()} == learning_rates(one)

    for step in (STEPS // 2, STEPS):
        expected, found = weights(several, step), weights(one, step * PROCESSES)
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-7, msg=key)

    middle = STEPS // 2 * PROCESSES
    resumed = train(accumulated, 'resumed', '--resume', one / f'iter_{middle}.pth')
    expected, found = weights(one, STEPS * PROCESSES), weights(resumed, STEPS * PROCESSES)
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert {k: v for k, v in learning_rates(one).items() if k > middle} == learning_rates(resumed)


@pytest.mark.slow
def test_one_and_two_processes_do_as_eight(cfg, train, weights):
    eight = train(cfg('frn'), 'eight', processes=8)
    for processes in (1, 2):
        counts = 8 // processes
        accumulated = cfg('frn')
        accumulate(accumulated, counts)
        few = train(accumulated, f'few{processes}', processes=processes)
        # Gradients are added in another order, and training carries the rounding on.
        for step, tolerance in ((STEPS // 2, 1e-6), (STEPS, 2e-4)):
            expected, found = weights(eight, step), weights(few, step * counts)
            for key, value in expected.items():
                torch.testing.assert_close(found[key], value, rtol=0, atol=tolerance, msg=key)


@pytest.mark.slow
def test_a_checkpoint_of_the_processes_is_not_resumed_by_one(cfg, train):
    several = train(cfg('frn'), 'several')
    accumulated = cfg('frn')
    accumulate(accumulated, PROCESSES)
    with pytest.raises(AssertionError, match=r'iteration 4 and of step 4 of the schedule, so not'):
        train(accumulated, 'one', '--resume', several / 'iter_4.pth')
