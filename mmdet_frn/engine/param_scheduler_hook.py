"""Schedules that count optimizer steps where gradients are accumulated."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import ParamSchedulerHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmdet_frn.utils.errors import UsageError


@HOOKS.register_module()
class OptimStepParamSchedulerHook(ParamSchedulerHook):
    """MMEngine's ParamSchedulerHook, stepping only after iterations that moved the weights.

    MMEngine's steps the by-iteration schedulers with every micro-batch, so that the learning rate
    would change within an optimizer step and run through its schedule too fast.
    """

    def before_train(self, runner: Runner) -> None:
        """Check that the training starts between two optimizer steps that the schedulers know of.

        Raises:
            UsageError: the checkpoint to resume is from a run with other numbers of micro-batches.
        """
        counts = runner.cfg.optim_wrapper.get('accumulative_counts', 1)
        steps, rest = divmod(runner.iter, counts)
        counted = {
            scheduler.state_dict()['_global_step']
            for scheduler in runner.param_schedulers or []
            if not scheduler.by_epoch
        }
        if rest or counted - {steps}:
            raise UsageError(
                f'the checkpoint is of iteration {runner.iter} and of step '
                f'{max(counted, default=steps)} of the schedule, so not of a run with '
                f'accumulative_counts={counts}; resume it with the config that it was made with'
            )

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Step the by-iteration schedulers if this iteration made an optimizer step."""
        if runner.optim_wrapper.should_update():
            super().after_train_iter(runner, *args, **kwargs)
