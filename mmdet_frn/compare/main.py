"""A comparison from its arguments to its report, for ``tools/compare.py`` and ``tools/demo.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdet_frn.datasets import find_coco

from .cells import plan_cells
from .report import terminal_table, write_report
from .runner import run_cells


def compare(
    configs: Sequence[str | Path],
    images_per_gpu: Sequence[int],
    work_dir: str | Path,
    *,
    seeds: Sequence[int] = (0,),
    num_gpus: int = 1,
    steps: int | None = None,
    data: str | Path | None = None,
    options: dict | None = None,
    title: str = 'Comparison of normalisations',
) -> int:
    """Train and evaluate every cell that is not finished, then print the table and write a report.

    Args:
        configs: Config files, one a row of the table.
        images_per_gpu: The columns of the table.
        work_dir: Folder of the comparison: a folder for each cell, and ``report``.
        seeds: Seeds of each cell. Default (0,).
        num_gpus: GPUs of each cell (processes on a CPU). Default 1.
        steps: Training steps at a config's own batch size, in place of its own. Default None.
        data: COCO-format folder that replaces the datasets of the configs. Default None.
        options: ``--cfg-options`` for every config. Default None.
        title: Heading of the report.

    Returns:
        Exit status: 0, or 1 if a cell failed.

    Raises:
        UsageError, DatasetError: an argument, config or dataset is unusable; nothing was trained.
    """
    work_dir = Path(work_dir)
    cells = plan_cells(
        configs,
        images_per_gpu,
        work_dir,
        seeds=seeds,
        num_gpus=num_gpus,
        steps=steps,
        data=None if data is None else find_coco(data),
        options=options,
    )
    failed = run_cells(cells)
    files = write_report(cells, work_dir / 'report', title)
    print(f'\n{terminal_table(cells)}\n\nWrote')
    for file in files:
        print(f'  {file}')
    return 1 if failed else 0
