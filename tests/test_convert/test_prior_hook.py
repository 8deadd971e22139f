"""PriorAnnealingHook: its curves, what it sets, and its errors; trainings are in test_config.py."""

import math
from types import SimpleNamespace

import pytest
from mmengine.hooks import EMAHook
from mmengine.runner import get_priority
from torch import nn

from mmdet_frn.engine import PriorAnnealingHook
from mmdet_frn.layers import FRN, prior_of
from mmdet_frn.utils.errors import UsageError


@pytest.mark.parametrize(
    ('kwargs', 'expected'),
    [
        ({'start': 0.8}, [0.8, 0.6, 0.4, 0.2, 0.0]),
        ({'start': 0.8, 'stop': 0.4}, [0.8, 0.7, 0.6, 0.5, 0.4]),
        ({'start': 8, 'unit': 'kappa'}, [prior_of(k) for k in (8, 6, 4, 2, 0)]),
        ({'start': 1.0, 'begin': 1, 'end': 3}, [1, 1, 0.5, 0, 0]),
        (
            {'start': 1.0, 'curve': 'cosine'},
            [(1 + math.cos(math.pi * t / 4)) / 2 for t in range(5)],
        ),
    ],
)
def test_prior_follows_its_curve_from_the_step_alone(kwargs, expected):
    hook = PriorAnnealingHook(**kwargs)
    found = [hook.prior_at(step, last=4) for step in range(5)]
    assert found == pytest.approx(expected)
    assert hook.prior_at(9, last=4) == pytest.approx(expected[-1])


def test_every_prior_that_is_not_learned_is_set_for_the_step_and_then_the_next():
    learned = FRN(3, prior=0.9, learnable_prior=True)
    model = nn.Sequential(FRN(3, prior=0.9), FRN(3), learned)
    runner = SimpleNamespace(model=model, iter=1, max_iters=5, hooks=[])
    hook = PriorAnnealingHook(start=0.8)
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    assert model[0].prior.value.item() == pytest.approx(0.6)
    hook.after_train_iter(runner, 0)
    assert model[0].prior.value.item() == pytest.approx(0.4)
    assert learned.prior.kappa().tolist() == pytest.approx([9, 9, 9])


def test_an_average_of_the_model_has_the_prior_of_the_step():
    model = nn.Sequential(FRN(3, prior=0.9))
    average = EMAHook(update_buffers=True, momentum=0.01)
    hook = PriorAnnealingHook(start=0.8)
    runner = SimpleNamespace(model=model, iter=4, max_iters=5, hooks=[average, hook])
    average.before_run(runner)
    assert get_priority(average.priority) < get_priority(hook.priority)
    for each in (average, hook):
        each.after_train_iter(runner, 0)
    assert average.ema_model.module[0].prior.value.item() == model[0].prior.value.item() == 0


def test_a_model_without_priors_is_refused():
    runner = SimpleNamespace(model=nn.Sequential(FRN(3)), iter=0, max_iters=5)
    with pytest.raises(UsageError, match='finds no FRN with a prior; convert with kappa > 0'):
        PriorAnnealingHook(start=0.8).before_train(runner)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'start': 10}, 'start must be a finite lambda from 0 to 1, got 10'),
        ({'start': math.inf, 'unit': 'kappa'}, 'start must be a finite kappa'),
        ({'start': 0.5, 'stop': -1}, 'stop must be a finite lambda from 0 to 1, got -1'),
        ({'start': 0.5, 'curve': 'step'}, "curve must be 'linear' or 'cosine', got 'step'"),
        ({'start': 0.5, 'unit': 'eps'}, "unit must be 'kappa' or 'lambda', got 'eps'"),
        ({'start': 0.5, 'begin': 3, 'end': 3}, 'end must be > begin >= 0'),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PriorAnnealingHook(**kwargs)
