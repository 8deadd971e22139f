"""How far a cell is, and why it has no result."""

from __future__ import annotations

from .cells import Cell
from .results import read_failure, read_result
from .scalars import last_step


def steps_done(cell: Cell) -> int:
    """Return how many steps of the optimizer a cell has logged."""
    return min(last_step(cell.folder) // cell.accumulate, cell.steps)


def why_unfinished(cell: Cell) -> str | None:
    """Return why the cell has no result yet, None if it has one."""
    if read_result(cell.folder) is not None:
        return None
    failure = read_failure(cell.folder)
    if failure is not None:
        return f'failed: {failure}'
    step = steps_done(cell)
    return f'stopped at step {step} of {cell.steps}' if step else 'not started'
