"""The learning rate schedule of the paper: a cosine from zero to the peak and back."""

from __future__ import annotations

import math
from typing import Any

from mmengine.optim import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class RampUpCosineLR(_ParamScheduler):
    """Cosine decay with a cosine ramp-up from zero (section 4.1).

    At step t of T, counted from ``begin``, and with R = ``ramp_up``, every parameter group has its
    own peak, the learning rate that its optimizer was given, times (1 - cos(pi t / R)) / 2 for
    t < R and times (1 + cos(pi (t - R) / (T - R))) / 2 from there on. The first step has learning
    rate 0. The value follows from the step alone: MMEngine's schedulers multiply the last value,
    which would never leave 0.

    Args:
        optimizer: Optimizer or OptimWrapper.
        ramp_up: Steps of the ramp-up, R; 0 for none.
        end: Step after the last one; MMEngine's Runner fills in the length of the training.
        begin: First step. Default 0.
        kwargs: ``by_epoch``, ``last_step`` and ``verbose`` of MMEngine's schedulers.

    Raises:
        ValueError: not 0 <= ramp_up < end - begin.
    """

    def __init__(self, optimizer: Any, ramp_up: int, *, end: int, begin: int = 0, **kwargs) -> None:
        if not 0 <= ramp_up < end - begin:
            raise ValueError(
                f'ramp_up must be at least 0 and less than end - begin = {end - begin}, '
                f'but is {ramp_up}'
            )
        self.ramp_up = ramp_up
        super().__init__(optimizer, 'lr', begin=begin, end=end, **kwargs)

    @classmethod
    def build_iter_from_epoch(
        cls,
        optimizer: Any,
        *,
        ramp_up: float,
        end: float,
        begin: float = 0,
        by_epoch: bool = True,
        epoch_length: int,
        **kwargs,
    ) -> RampUpCosineLR:
        """Build it for steps from numbers of epochs, as ``convert_to_iter_based`` asks for.

        Args:
            optimizer: As for the class.
            ramp_up: In epochs.
            end: In epochs.
            begin: In epochs. Default 0.
            by_epoch: True.
            epoch_length: Steps of an epoch.
            **kwargs: As for the class.

        Raises:
            ValueError: by_epoch is False, so that the numbers are steps already.
        """
        if not by_epoch:
            raise ValueError('convert_to_iter_based needs by_epoch=True, but by_epoch is False')

        def steps(epochs: float) -> int:
            return int(epochs * epoch_length)

        return cls(
            optimizer, steps(ramp_up), end=steps(end), begin=steps(begin), by_epoch=False, **kwargs
        )

    def _get_value(self) -> list[float]:
        """Return the learning rate of each parameter group at ``last_step``."""
        step = self.last_step
        if step < self.ramp_up:
            factor = (1 - math.cos(math.pi * step / self.ramp_up)) / 2
        else:
            decay = self.end - self.begin - self.ramp_up
            factor = (1 + math.cos(math.pi * (step - self.ramp_up) / decay)) / 2
        return [peak * factor for peak in self.base_values]
