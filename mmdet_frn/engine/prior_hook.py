"""Annealing of FRN's prior over a training."""

from __future__ import annotations

import math
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from mmdet_frn.layers import Prior, prior_of
from mmdet_frn.utils.errors import UsageError

_CURVES = {
    'linear': lambda t: t,
    'cosine': lambda t: (1 - math.cos(math.pi * t)) / 2,
}


@HOOKS.register_module()
class PriorAnnealingHook(Hook):
    """Moves the prior of every FRN that has one from ``start`` to ``stop``, step by step.

    The prior follows from the step alone, so a resumed training continues with the right one. It is
    saved with the weights. Learned priors are left alone. An EMA of the model gets the same prior,
    not the average of past ones.

    Args:
        start: At step ``begin``; a kappa, from 0 to ``math.inf``, or a lambda by ``unit``.
        stop: From step ``end`` on. Default 0, the paper's FRN.
        begin: First step. Default 0.
        end: Last step. Default None: the last of the training.
        curve: 'linear' or 'cosine'. Default 'linear'.
        unit: 'kappa' or 'lambda': what moves along the curve. Default 'lambda', which also goes
            from an infinite kappa (1).

    Raises:
        ValueError: an argument is out of range.
    """

    priority = 'LOW'  # after EMAHook, which may average buffers, and before CheckpointHook

    def __init__(
        self,
        start: float,
        stop: float = 0.0,
        begin: int = 0,
        end: int | None = None,
        curve: str = 'linear',
        unit: str = 'lambda',
    ) -> None:
        if curve not in _CURVES:
            raise ValueError(f"curve must be 'linear' or 'cosine', got {curve!r}")
        if unit not in ('kappa', 'lambda'):
            raise ValueError(f"unit must be 'kappa' or 'lambda', got {unit!r}")
        most = 1.0 if unit == 'lambda' else math.inf
        for name, value in (('start', start), ('stop', stop)):
            if not 0 <= value <= most or (unit == 'kappa' and math.isinf(value)):
                raise ValueError(f'{name} must be a finite {unit} from 0 to {most:g}, got {value}')
        if begin < 0 or (end is not None and end <= begin):
            raise ValueError(f'end must be > begin >= 0, got begin={begin}, end={end}')
        self.start = start
        self.stop = stop
        self.begin = begin
        self.end = end
        self.curve = curve
        self.unit = unit

    def prior_at(self, step: int, last: int) -> float:
        """Return lambda at a step of a training whose last step is ``last``."""
        end = last if self.end is None else self.end
        t = min(max((step - self.begin) / max(end - self.begin, 1), 0.0), 1.0)
        value = self.start + (self.stop - self.start) * _CURVES[self.curve](t)
        return prior_of(value) if self.unit == 'kappa' else value

    def before_train(self, runner: Runner) -> None:
        """Check that there is something to anneal.

        Raises:
            UsageError: no FRN of the model has a prior that is not learned.
        """
        if not _priors(runner.model):
            raise UsageError(
                'PriorAnnealingHook finds no FRN with a prior; convert with kappa > 0 or build '
                "with norm_cfg=dict(type='FRN', prior=...)"
            )

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Set the prior of this step, so that the last step has the last prior."""
        self._set(runner, runner.iter)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Set the prior of the next step, which is what a checkpoint saved now holds."""
        self._set(runner, runner.iter + 1)

    def _set(self, runner: Runner, step: int) -> None:
        prior = self.prior_at(step, runner.max_iters - 1)
        averaged = (getattr(hook, 'ema_model', None) for hook in runner.hooks)
        for model in (runner.model, *averaged):
            for layer in [] if model is None else _priors(model):
                layer.set(prior)


def _priors(model: nn.Module) -> list[Prior]:
    return [m for m in model.modules() if isinstance(m, Prior) and m.value is not None]
