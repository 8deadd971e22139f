"""The comparison as a table in the layout of the paper's Table 6."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import mean, stdev

from .cells import Cell
from .results import METRICS, read_result

BLANK = '-'


@dataclass
class Table:
    """AP, AP50 and AP75 (0 to 100) of each method at each number of images per GPU.

    ``values[method, metric, images_per_gpu]`` holds one value for each finished seed, of the base
    learning rate with the best mean AP; ``best[method, images_per_gpu]`` are those cells.
    """

    methods: list[str] = field(default_factory=list)
    images_per_gpu: list[int] = field(default_factory=list)
    values: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)
    best: dict[tuple[str, int], list[Cell]] = field(default_factory=dict)

    def cell(self, method: str, metric: str, images: int) -> str:
        """Mean over the seeds, with the standard deviation where there are several."""
        values = self.values.get((method, metric, images), [])
        if not values:
            return BLANK
        spread = f' ± {stdev(values):.1f}' if len(values) > 1 else ''
        return f'{mean(values):.1f}{spread}'

    def mean(self, method: str, metric: str, images: int) -> float | None:
        """Mean over the seeds, None if none is finished."""
        values = self.values.get((method, metric, images))
        return mean(values) if values else None

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
    for method, images in product(table.methods, table.images_per_gpu):
        place = [c for c in cells if (c.method, c.images_per_gpu) == (method, images)]
        best = _best(place)
        if best:
            table.best[method, images] = best
        for metric in METRICS if best else ():
            table.values[method, metric, images] = [_percent(cell, metric) for cell in best]
    return table


def _best(cells: Sequence[Cell]) -> list[Cell]:
    """Return the finished cells of the base learning rate with the best mean AP."""
    finished = [cell for cell in cells if read_result(cell.folder) is not None]
    searched = {cell.base_lr: [c for c in finished if c.base_lr == cell.base_lr] for cell in cells}
    return max(
        searched.values(),
        key=lambda group: mean(_percent(c, 'AP') for c in group) if group else -1,
        default=[],
    )


def _percent(cell: Cell, metric: str) -> float:
    return 100 * read_result(cell.folder)['metrics'][METRICS[metric]]


def to_text(rows: Sequence[Sequence[str]], headings: int = 2) -> str:
    """Return rows for a terminal, with a rule below the first ``headings``."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        '  '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    rule = '-' * (sum(widths) + 2 * (len(widths) - 1))
    return '\n'.join([*lines[:headings], rule, *lines[headings:]])


def to_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in Markdown, the first as heading."""
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
                cell.steps,
                f'{cell.lr:g}',
                *(metrics.get(key, '') for key in keys),
            ]
        )
    return out.getvalue()
