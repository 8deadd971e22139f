"""The report of a comparison: a folder with a Markdown page, a CSV file and two pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mmcv
import mmdet
import torch

from mmdet_frn.utils.files import write_text_atomic
from mmdet_frn.version import __version__

from .cells import Cell
from .curves import plot_curves
from .detections import plot_detections
from .results import METRICS
from .status import why_unfinished
from .table import make_table, to_csv, to_markdown, to_text

PAGE = 'report.md'


def write_report(cells: Sequence[Cell], folder: Path, title: str) -> list[Path]:
    """Write what the cells gave so far; an earlier report in the folder is replaced.

    Args:
        cells: The cells, finished or not.
        folder: Where to write.
        title: Heading of the page.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    curves, detections = folder / 'curves.png', folder / 'detections.png'
    plot_curves(cells, curves)
    has_detections = plot_detections(cells, detections)
    results = folder / 'results.csv'
    write_text_atomic(results, to_csv(cells))
    sections = [f'# {title}', to_markdown(make_table(cells).rows()), _notes(cells)]
    sections += unfinished_cells(cells)
    sections.append('![training loss and AP50](curves.png)')
    if has_detections:
        sections.append('![detections beside the ground truth](detections.png)')
    page = folder / PAGE
    write_text_atomic(page, '\n\n'.join(sections) + '\n')
    return [page, results, curves, *([detections] if has_detections else [])]


def terminal_table(cells: Sequence[Cell]) -> str:
    """Return the table of the finished cells for a terminal."""
    return to_text(make_table(cells).rows())


def _notes(cells: Sequence[Cell]) -> str:
    first = cells[0].cfg
    seeds = sorted({cell.seed for cell in cells})
    spread = ', mean ± standard deviation' if len(seeds) > 1 else ''
    schedule = ', '.join(
        f'{images} images per GPU: {cell.steps} steps at lr {cell.lr:g}'
        for images, cell in {c.images_per_gpu: c for c in reversed(cells)}.items()
    )
    return '\n'.join(
        [
            f"{', '.join(METRICS)} are COCO's, in percent, on "
            f'`{first.test_dataloader.dataset.ann_file}`. {cells[0].num_gpus} GPU(s) or '
            f'process(es); seeds {", ".join(map(str, seeds))}{spread}.',
            f'{schedule}.',
            versions(),
        ]
    )


def versions() -> str:
    """Return a sentence with the versions that the numbers were made with."""
    return (
        f'mmdet_frn {__version__}, mmdet {mmdet.__version__}, mmcv {mmcv.__version__}, '
        f'torch {torch.__version__}.'
    )


def unfinished_cells(cells: Sequence[Cell]) -> list[str]:
    """Return a section that says why cells have no result; nothing if all have one."""
    reasons = {cell.name: why_unfinished(cell) for cell in cells}
    missing = [f'- {name}: {reason}' for name, reason in reasons.items() if reason]
    return ['\n'.join(['Not finished:', '', *missing])] if missing else []
