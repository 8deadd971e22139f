"""What Table 6 costs, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmdet_frn.compare.cells import Cell
from mmdet_frn.compare.results import read_result
from mmdet_frn.compare.status import steps_done
from mmdet_frn.compare.table import to_text

from .schedule import NUM_GPUS
from .shrink import COCO_IMAGES
from .step_time import StepTimes

_UNKNOWN = '?'


@dataclass(frozen=True)
class Cost:
    """Of what is left of a cell: GPU-hours, and days on the GPUs at hand; None if not measured."""

    gpu_hours: float | None
    days: float | None


def cost(cell: Cell, times: StepTimes | None) -> Cost:
    """Estimate what is left of a cell from measured step times."""
    seconds = times.of(cell) if times else None
    if seconds is None:
        return Cost(None, None)
    left = 0 if read_result(cell.folder) is not None else cell.steps - steps_done(cell)
    return Cost(seconds * left * NUM_GPUS / 3600, seconds * left * cell.accumulate / 86400)


def plan_text(
    cells: Sequence[Cell],
    times: StepTimes | None,
    *,
    train_images: int = COCO_IMAGES['train'],
    price: float | None = None,
) -> str:
    """Return the plan for a terminal: a line for each cell, the totals, what they rest on.

    Args:
        cells: The cells, numbered from 1 as ``--cell`` takes them.
        times: Measured step times. None if nothing was measured.
        train_images: Images of the training set. Default COCO train2017's.
        price: Of a GPU-hour, in any currency. Default None.
    """
    heading = ['#', 'Method', 'imgs/gpu', 'base lr', 'lr', 'steps', 'images', 'epochs']
    rows = [[*heading, 'GPU-hours left', 'days left']]
    costs = [cost(cell, times) for cell in cells]
    for i, (cell, left) in enumerate(zip(cells, costs, strict=True), 1):
        images = cell.steps * cell.batch_size
        rows.append(
            [
                *(str(i), cell.method, str(cell.images_per_gpu), f'{cell.base_lr:g}'),
                *(f'{cell.lr:.6g}', str(cell.steps), str(images), f'{images / train_images:.1f}'),
                *(_number(left.gpu_hours), _number(left.days)),
            ]
        )
    num_gpus, accumulate = cells[0].num_gpus, cells[0].accumulate
    lines = [to_text(rows, headings=1), '']
    lines.append(
        f'{len(cells)} cells, one after the other on {num_gpus} GPU(s) or process(es)'
        + (f', each doing the work of {accumulate} by accumulation' if accumulate > 1 else '')
        + '.'
    )
    if times is None:
        lines.append(
            'Not measured: add --measure, on the machine that will train, for GPU-hours and days.'
        )
        return '\n'.join(lines)
    hours = [left.gpu_hours for left in costs if left.gpu_hours is not None]
    days = [left.days for left in costs if left.days is not None]
    total = f'{sum(hours):.4g} GPU-hours, {sum(days):.4g} days'
    if price is not None:
        total += f', {sum(hours) * price:.2f} at {price:g} a GPU-hour'
    missing = len(costs) - len(hours)
    lines.append(f'Left: {total}{f"; {missing} cells not measured" if missing else ""}.')
    lines.append(times.basis)
    lines += [f'{key}: {reason}' for key, reason in times.failures.items()]
    return '\n'.join(lines)


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f'{value:.4g}'
