"""Whether a cell trained with the learning rate of the paper's formula, by its own log."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmdet_frn.compare.cells import Cell
from mmdet_frn.compare.scalars import read_scalars


@dataclass(frozen=True)
class LrCheck:
    """What the log of a cell shows of its learning rate.

    ``logged_peak`` is the highest value logged, ``deviation`` the largest difference between a
    logged value and the formula's, relative to the peak; ``records`` says how many were compared,
    ``ramp_records`` how many of them during the ramp-up.
    """

    logged_peak: float
    deviation: float
    records: int
    ramp_records: int


def formula_lr(step: int, peak: float, ramp_up: int, steps: int) -> float:
    """Learning rate of a step, counted from 0: cosine ramp-up from 0, then cosine decay to 0.

    Section 4.1 of the paper gives both shapes in words.
    """
    if step < ramp_up:
        return peak * (1 - math.cos(math.pi * step / ramp_up)) / 2
    return peak * (1 + math.cos(math.pi * (step - ramp_up) / (steps - ramp_up))) / 2


def check_lr(cell: Cell) -> LrCheck | None:
    """Compare the logged learning rates of a cell with the formula's; None if none is logged."""
    ramp_up = cell.cfg.param_scheduler.ramp_up
    train, _ = read_scalars(cell.folder)
    logged = {
        (iteration - 1) // cell.accumulate: record['lr'] for iteration, record in train.items()
    }
    if not logged:
        return None
    peak = cell.lr
    deviations = [
        abs(lr - formula_lr(step, peak, ramp_up, cell.steps)) / peak for step, lr in logged.items()
    ]
    in_ramp = sum(step < ramp_up for step in logged)
    return LrCheck(max(logged.values()), max(deviations), len(logged), in_ramp)
