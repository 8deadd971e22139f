"""The report on Table 6: the table in the paper's layout with the paper's figures beside ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mmdet_frn.compare.cells import Cell
from mmdet_frn.compare.curves import plot_curves
from mmdet_frn.compare.report import unfinished_cells, versions
from mmdet_frn.compare.results import METRICS, read_result
from mmdet_frn.compare.scalars import training_seconds
from mmdet_frn.compare.status import why_unfinished
from mmdet_frn.compare.table import BLANK, Table, make_table, to_markdown, to_text
from mmdet_frn.utils.files import write_text_atomic

from .figure import plot_ap
from .lr_check import check_lr
from .paper import paper_result
from .shrink import Scale

# Rounding of the log's numbers aside, there is nothing to allow for.
_LR_TOLERANCE = 1e-6


def write_table6(
    cells: Sequence[Cell], folder: Path, scale: Scale, evaluated_on: str
) -> list[Path]:
    """Write what the cells gave so far; an earlier report in the folder is replaced.

    Args:
        cells: All cells, finished or not.
        folder: Where to write.
        scale: The trial's, which every title names.
        evaluated_on: Annotation file of the evaluation.

    Returns:
        The files written: Markdown, CSV and two pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = make_table(cells)
    title = 'Table 6: object detection on COCO' + (f' ({scale.title})' if scale.title else '')
    page, results = folder / 'table6.md', folder / 'table6.csv'
    ap, curves = folder / 'ap_by_images_per_gpu.png', folder / 'curves.png'
    plot_ap(table, ap, title)
    best = [cell for group in table.best.values() for cell in group]
    plot_curves(best or cells, curves, x='step', title=title)
    write_text_atomic(results, _to_csv(cells, table, scale))
    sections = [
        f'# {title}',
        *([scale.note] if scale.note else []),
        to_markdown(table.rows()),
        "The same with the paper's figure and the difference to it:",
        to_markdown(_beside_the_paper(table)),
        _notes(cells, evaluated_on),
        'The base learning rate with the best AP, and what training took:',
        to_markdown(_costs(table, cells)),
        '\n'.join(_lr_lines(cells)),
        *unfinished_cells(cells),
        '![AP against images per GPU](ap_by_images_per_gpu.png)',
        '![training loss and AP50 by step](curves.png)',
    ]
    write_text_atomic(page, '\n\n'.join(sections) + '\n')
    return [page, results, ap, curves]


def terminal_table6(cells: Sequence[Cell], scale: Scale) -> str:
    """Return the table for a terminal, with the trial's note above."""
    note = f'{scale.note}\n\n' if scale.note else ''
    return f'{note}{to_text(make_table(cells).rows())}'


def _beside_the_paper(table: Table) -> list[list[str]]:
    rows = table.rows()
    for row, method in zip(rows[2:], table.methods, strict=True):
        columns = [(metric, images) for metric in METRICS for images in table.images_per_gpu]
        for i, (metric, images) in enumerate(columns, 1):
            paper = paper_result(method, metric, images)
            if paper is None:
                continue
            ours = table.mean(method, metric, images)
            difference = '' if ours is None else f', {ours - paper:+.1f}'
            row[i] = f'{row[i]} ({paper:.1f}{difference})'
    return rows


def _costs(table: Table, cells: Sequence[Cell]) -> list[list[str]]:
    rows = [['Method', 'imgs/gpu', 'base lr', 'of', 'steps', 'hours', 's/step', 'peak memory']]
    for method in table.methods:
        for images in table.images_per_gpu:
            group = table.best.get((method, images))
            if not group:
                rows.append([method, str(images), *[BLANK] * 6])
                continue
            cell = group[0]
            searched = [c for c in cells if (c.method, c.images_per_gpu) == (method, images)]
            finished = {c.base_lr for c in searched if read_result(c.folder) is not None}
            seconds = training_seconds(cell.folder)
            memory = read_result(cell.folder).get('peak_memory')
            rows.append(
                [
                    *(method, str(images), f'{cell.base_lr:g}'),
                    ', '.join(f'{lr:g}' for lr in sorted(finished)),
                    *(str(cell.steps), f'{seconds / 3600:.3g}', f'{seconds / cell.steps:.3g}'),
                    f'{memory["mb"]} MB ({memory["of"]})' if memory else BLANK,
                ]
            )
    return rows


def _notes(cells: Sequence[Cell], evaluated_on: str) -> str:
    first = cells[0]
    by = f', each for {first.accumulate} by accumulation' if first.accumulate > 1 else ''
    return '\n'.join(
        [
            f"{', '.join(METRICS)} are COCO's, in percent, on "
            f'`{evaluated_on}`; the paper reports one run of each '
            f'cell with the best of three base learning rates. {first.num_gpus} GPU(s) or '
            f'process(es){by}; seed {first.seed}.',
            versions(),
        ]
    )


def _lr_lines(cells: Sequence[Cell]) -> list[str]:
    """Say whether the logged learning rates are the formula's."""
    checks = {cell: check_lr(cell) for cell in cells}
    checked = {cell: check for cell, check in checks.items() if check is not None}
    if not checked:
        return []
    wrong = {c: check for c, check in checked.items() if check.deviation > _LR_TOLERANCE}
    worst = max(check.deviation for check in checked.values())
    records = sum(check.records for check in checked.values())
    ramps = sum(check.ramp_records for check in checked.values())
    return [
        f'Learning rate: {len(checked) - len(wrong)} of {len(checked)} logs follow the formula '
        f'(cosine ramp-up from 0, cosine decay); {records} values compared, {ramps} of them in '
        f'the ramp-up; largest difference {worst:.1e} of the peak.',
        *(f'- {cell.name}: off by {check.deviation:.1e}' for cell, check in wrong.items()),
    ]


def _to_csv(cells: Sequence[Cell], table: Table, scale: Scale) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    columns = ['method', 'images_per_gpu', 'base_lr', 'lr', 'seed', 'steps', 'scale', 'best']
    columns += [f'{kind}{metric}' for metric in METRICS for kind in ('', 'paper_')]
    writer.writerow([*columns, 'logged_peak_lr', 'hours', 'peak_memory_mb', 'unfinished'])
    for cell in cells:
        result = read_result(cell.folder)
        check = check_lr(cell)
        best = cell in table.best.get((cell.method, cell.images_per_gpu), [])
        row = [cell.method, cell.images_per_gpu, f'{cell.base_lr:g}', f'{cell.lr:g}', cell.seed]
        row += [cell.steps, f'{scale.factor:g}', int(best)]
        for metric, key in METRICS.items():
            row.append(f'{100 * result["metrics"][key]:.1f}' if result else '')
            row.append(paper_result(cell.method, metric, cell.images_per_gpu))
        row.append(f'{check.logged_peak:g}' if check else '')
        row.append(f'{training_seconds(cell.folder) / 3600:.4g}' if check else '')
        row.append((result or {}).get('peak_memory', {}).get('mb', ''))
        row.append(why_unfinished(cell) or '')
        writer.writerow(row)
    return out.getvalue()
