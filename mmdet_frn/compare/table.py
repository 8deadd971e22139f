"""The comparison as a table in the layout of the paper's Table 6."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

from .cells import Cell
from .results import METRICS, read_result

BLANK = '-'


@dataclass
class Table:
    """AP, AP50 and AP75 (0 to 100) of each method at each number of images per GPU.

    ``values[method, metric, images_per_gpu]`` holds one value for each finished seed.
    """

    methods: list[str] = field(default_factory=list)
    images_per_gpu: list[int] = field(default_factory=list)
    values: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)

    def cell(self, method: str, metric: str, images: int) -> str:
        """Mean over the seeds, with the standard deviation where there are several."""
        values = self.values.get((method, metric, images), [])
        if not values:
            return BLANK
        spread = f' ± {stdev(values):.1f}' if len(values) > 1 else ''
        return f'{mean(values):.1f}{spread}'

    def rows(self) -> list[list[str]]:
        """Two rows of heading (metric, images per GPU), then one for each method."""
        columns = [(metric, images) for metric in METRICS for images in self.images_per_gpu]
        heading = [metric if i == self.images_per_gpu[0] else '' for metric, i in columns]
        return [
            ['Method', *heading],
            ['imgs/gpu', *(str(images) for _, images in columns)],
            *([m, *(self.cell(m, metric, i) for metric, i in columns)] for m in self.methods),
        ]


def make_table(cells: Sequence[Cell]) -> Table:
    """Collect the finished cells; a method or column without one stays blank."""
    table = Table(
        methods=list(dict.fromkeys(cell.method for cell in cells)),
        images_per_gpu=sorted({cell.images_per_gpu for cell in cells}, reverse=True),
    )
    for cell in cells:
        result = read_result(cell.folder)
        for metric, key in METRICS.items() if result else ():
            values = table.values.setdefault((cell.method, metric, cell.images_per_gpu), [])
            values.append(100 * result['metrics'][key])
    return table


def to_text(table: Table) -> str:
    """Return the table for a terminal."""
    rows = table.rows()
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        '  '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    rule = '-' * (sum(widths) + 2 * (len(widths) - 1))
    return '\n'.join([*lines[:2], rule, *lines[2:]])


def to_markdown(table: Table) -> str:
    """Return the table in Markdown; its one row of heading is the metrics."""
    rows = table.rows()
    lines = [f'| {" | ".join(row)} |' for row in rows]
    lines.insert(1, f'|:--|{"--:|" * (len(rows[0]) - 1)}')
    return '\n'.join(lines)


def to_csv(cells: Sequence[Cell]) -> str:
    """Return one line for each cell, finished or not; the metrics are CocoMetric's, 0 to 1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    keys = list(METRICS.values())
    for cell in cells:
        result = read_result(cell.folder)
        keys += [key for key in (result['metrics'] if result else ()) if key not in keys]
    columns = ['method', 'config', 'images_per_gpu', 'num_gpus', 'seed', 'steps', 'lr']
    writer.writerow([*columns, *(key.removeprefix('coco/') for key in keys)])
    for cell in cells:
        result = read_result(cell.folder)
        metrics = result['metrics'] if result else {}
        writer.writerow(
            [
                cell.method,
                cell.config.stem,
                cell.images_per_gpu,
                cell.num_gpus,
                cell.seed,
                cell.max_iters,
                f'{cell.cfg.optim_wrapper.optimizer.lr:g}',
                *(metrics.get(key, '') for key in keys),
            ]
        )
    return out.getvalue()
