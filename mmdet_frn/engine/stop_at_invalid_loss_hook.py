"""A training whose loss is no number any more ends there."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmdet_frn.utils.errors import UsageError


@HOOKS.register_module()
class StopAtInvalidLossHook(Hook):
    """Stop the training at the first iteration whose loss is NaN or infinite, and say which.

    MMDetection's CheckInvalidLossHook looks at every 50th, and its error names none. MMEngine's
    RuntimeInfoHook reads the loss of each iteration already, so looking costs no synchronisation.
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Raise if a loss of this iteration is not finite.

        Raises:
            UsageError: it is not.
        """
        for name, value in (outputs or {}).items():
            values = torch.as_tensor(value).detach()
            if 'loss' in name and not torch.isfinite(values).all():
                raise UsageError(
                    f'{name} is {values.sum().item()} at iteration {runner.iter + 1} of '
                    f'{runner.max_iters}; lower the learning rate, lengthen its warm-up or '
                    f'clip the gradients by optim_wrapper.clip_grad'
                )
