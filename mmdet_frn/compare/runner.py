"""Running the cells of a comparison one after the other, from wherever the last run stopped."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from mmdet_frn.datasets import check_cfg
from mmdet_frn.utils.lock import locked

from .cells import Cell, prepare_folder
from .progress import Progress
from .results import METRICS, read_result, write_failure
from .status import steps_done

LOG = 'log.txt'
_LOCK = '.lock'


def run_cells(cells: Sequence[Cell]) -> int:
    """Train and evaluate the cells that are not finished; a failed cell does not stop the others.

    Args:
        cells: The cells, see :func:`~mmdet_frn.compare.cells.plan_cells`.

    Returns:
        How many failed; :func:`~mmdet_frn.compare.results.read_failure` has the reasons.

    Raises:
        UsageError: another run trains one of the cells, or a cell's folder was made with other
            settings.
        DatasetError: a dataset is unusable. All before anything is trained.
    """
    with ExitStack() as locks:
        # The cells of a config share its datasets, and COCO's annotations take long to read.
        for cell in {cell.config: cell for cell in cells}.values():
            check_cfg(cell.cfg)
        for cell in cells:
            cell.folder.mkdir(parents=True, exist_ok=True)
            refusal = (
                f'another run is training {cell.name} in {cell.folder}; wait for it or name '
                f'another --work-dir'
            )
            locks.enter_context(locked(cell.folder / _LOCK, refusal))
        for cell in cells:
            prepare_folder(cell)
        progress = Progress(sum(map(_work, cells)), sum(_done(cell) for cell in cells))
        failed = 0
        for i, cell in enumerate(cells):
            position = f'[{i + 1}/{len(cells)}] {cell.name}'
            if read_result(cell.folder) is not None:
                progress.note(f'{position}: finished before')
                continue
            others = sum(_done(other) for other in cells if other is not cell)
            write_failure(cell.folder, None)
            failure = _run(cell, position, progress, others)
            if failure:
                failed += 1
                write_failure(cell.folder, failure)
                progress.note(f'{position}: FAILED: {failure}')
            else:
                metrics = read_result(cell.folder)['metrics']
                shown = '  '.join(f'{k} {100 * metrics[v]:.1f}' for k, v in METRICS.items())
                progress.note(f'{position}: {shown}')
        return failed


def _run(cell: Cell, position: str, progress: Progress, done_by_others: int) -> str | None:
    """Run one cell in a process of its own; return why it failed, None if it did not."""
    command = [sys.executable, '-m']
    if cell.num_gpus > 1:
        command += ['torch.distributed.run', '--standalone', f'--nproc-per-node={cell.num_gpus}']
        command += ['-m']
    command += ['mmdet_frn.compare.run_cell', str(cell.folder)]
    command += ['--launcher', 'pytorch'] if cell.num_gpus > 1 else []
    log_path = cell.folder / LOG
    with (
        log_path.open('ab') as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            while process.poll() is None:
                step = steps_done(cell)
                what = f'{position}: {f"step {step}" if step else "starting"}/{cell.steps}'
                progress.show(done_by_others + step * cell.batch_size, what)
                time.sleep(1)
        except BaseException:
            process.terminate()
            raise
    if process.returncode == 0 and read_result(cell.folder) is not None:
        return None
    reason = _last_error(log_path) or f'exit status {process.returncode}'
    return f'{reason} (see {log_path})'


def _work(cell: Cell) -> int:
    """Training images of a cell."""
    return cell.steps * cell.batch_size


def _done(cell: Cell) -> int:
    """Training images that a cell has seen."""
    if read_result(cell.folder) is not None:
        return _work(cell)
    return steps_done(cell) * cell.batch_size


def _last_error(log: Path) -> str | None:
    """Return the last line of the log that reads like an exception."""
    for line in reversed(log.read_text(encoding='utf-8', errors='replace').splitlines()):
        name, colon, _ = line.partition(': ')
        if colon and name.split('.')[-1].endswith(('Error', 'Exception', 'Interrupt')):
            return line
    return None
