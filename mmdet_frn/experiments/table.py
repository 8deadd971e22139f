"""Tables of an experiment in the layout of the paper's Table 6: text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import mean, stdev

from terminaltables import AsciiTable

from .paper import paper_result
from .results import METRICS, Row

BLANK = '-'


@dataclass
class Table:
    """AP, AP50 and AP75 (0 to 100) of each norm at each number of images per GPU.

    ``best[norm, images_per_gpu]`` holds the finished rows, one for each seed and fold, of the base
    learning rate with the best mean AP.
    """

    norms: list[str] = field(default_factory=list)
    images_per_gpu: list[int] = field(default_factory=list)
    best: dict[tuple[str, int], list[Row]] = field(default_factory=dict)

    def values(self, norm: str, metric: str, images: int) -> list[float]:
        """One value for each finished run, in percent."""
        return [row.percent(metric) for row in self.best.get((norm, images), [])]

    def mean(self, norm: str, metric: str, images: int) -> float | None:
        """Mean over the runs, None if none is finished."""
        values = self.values(norm, metric, images)
        return mean(values) if values else None

    def entry(self, norm: str, metric: str, images: int) -> str:
        """Mean over the runs, with the standard deviation where there are several."""
        return mean_and_deviation(self.values(norm, metric, images))

    def rows(self, entry: Callable[[str, str, int], str] | None = None) -> list[list[str]]:
        """Two rows of heading (metric, images per GPU), then one for each norm."""
        entry = entry or self.entry
        columns = list(product(METRICS, self.images_per_gpu))
        heading = [metric if i == self.images_per_gpu[0] else '' for metric, i in columns]
        return [
            ['Norm', *heading],
            ['imgs/gpu', *(str(images) for _, images in columns)],
            *([norm, *(entry(norm, *column) for column in columns)] for norm in self.norms),
        ]

    def beside_the_paper(self) -> list[list[str]]:
        """Return the rows with the paper's figure and the difference to it."""

        def entry(norm: str, metric: str, images: int) -> str:
            ours, paper = self.mean(norm, metric, images), paper_result(norm, metric, images)
            text = self.entry(norm, metric, images)
            if paper is None:
                return text
            return f'{text} ({paper:.1f}{"" if ours is None else f", {ours - paper:+.1f}"})'

        return self.rows(entry)

    def costs(self, rows: Sequence[Row]) -> list[list[str]]:
        """Base learning rate with the best AP, and what its training took, of each entry."""
        heading = ['Norm', 'imgs/gpu', 'base lr', 'of', 'steps', 'hours', 's/step', 'peak memory']
        table = [heading]
        for norm, images in product(self.norms, self.images_per_gpu):
            best = self.best.get((norm, images))
            if not best:
                table.append([norm, str(images), *[BLANK] * 6])
                continue
            run, memory = best[0].run, best[0].peak_memory
            finished = {
                row.run.base_lr
                for row in rows
                if row.metrics
                and (row.run.norm, row.run.images_per_gpu) == (norm, images)
                and row.run.base_lr is not None
            }
            seconds = mean(row.seconds for row in best)
            searched = run.base_lr is not None
            table.append(
                [
                    *(norm, str(images), f'{run.base_lr:g}' if searched else BLANK),
                    ', '.join(f'{lr:g}' for lr in sorted(finished)) if searched else BLANK,
                    *(str(run.steps), f'{seconds / 3600:.3g}', f'{seconds / run.steps:.3g}'),
                    f'{memory["mb"]} MB ({memory["of"]})' if memory else BLANK,
                ]
            )
        return table


def mean_and_deviation(values: Sequence[float]) -> str:
    """Return the mean, and the standard deviation where there are several; a dash for none."""
    if not values:
        return BLANK
    spread = f' ± {stdev(values):.1f}' if len(values) > 1 else ''
    return f'{mean(values):.1f}{spread}'


def make_table(rows: Sequence[Row]) -> Table:
    """Collect the finished rows; a norm or column without one stays blank."""
    table = Table(
        norms=list(dict.fromkeys(row.run.norm for row in rows)),
        images_per_gpu=sorted({row.run.images_per_gpu for row in rows}, reverse=True),
    )
    for norm, images in product(table.norms, table.images_per_gpu):
        groups: dict[float | None, list[Row]] = {}
        for row in rows:
            if row.metrics and (row.run.norm, row.run.images_per_gpu) == (norm, images):
                groups.setdefault(row.run.base_lr, []).append(row)
        if groups:
            best = max(groups.values(), key=lambda group: mean(row.percent('AP') for row in group))
            table.best[norm, images] = best
    return table


def to_text(rows: Sequence[Sequence[str]], headings: int = 2) -> str:
    """Return rows for a terminal, with a rule below the first ``headings``."""
    heading = ['\n'.join(column) for column in zip(*rows[:headings], strict=True)]
    table = AsciiTable([heading, *map(list, rows[headings:])])
    table.outer_border = table.inner_column_border = False
    table.justify_columns = dict.fromkeys(range(1, len(heading)), 'right')
    return '\n'.join(line.rstrip() for line in table.table.splitlines())


def to_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in Markdown, the first as heading."""
    lines = [f'| {" | ".join(row)} |' for row in rows]
    lines.insert(1, f'|:--|{"--:|" * (len(rows[0]) - 1)}')
    return '\n'.join(lines)


def to_csv(rows: Sequence[Row], table: Table, scale: float = 1.0, *, paper: bool = False) -> str:
    """Return one line for each run, finished or not; the metrics are CocoMetric's, 0 to 1.

    With ``paper`` the paper's figures stand beside, in percent.
    """
    keys = list(METRICS.values())
    keys += dict.fromkeys(k for row in rows for k in row.metrics or () if k not in keys)
    best = {id(row) for group in table.best.values() for row in group}
    out = io.StringIO()
    columns = ['norm', 'config', 'images_per_gpu', 'num_gpus', 'seed', 'fold', 'base_lr', 'lr']
    columns += ['steps', 'scale', 'best', *(key.removeprefix('coco/') for key in keys)]
    paper_metrics = METRICS if paper else ()
    columns += [f'paper_{metric}' for metric in paper_metrics]
    columns += ['logged_peak_lr', 'hours', 'peak_memory_mb', 'unfinished']
    writer = csv.DictWriter(out, columns, lineterminator='\n')
    writer.writeheader()
    for row in rows:
        run = row.run
        found = {key.removeprefix('coco/'): value for key, value in (row.metrics or {}).items()}
        beside = {
            f'paper_{m}': paper_result(run.norm, m, run.images_per_gpu) for m in paper_metrics
        }
        writer.writerow(
            dict(
                norm=run.norm,
                config=run.config,
                images_per_gpu=run.images_per_gpu,
                num_gpus=run.num_gpus,
                seed=run.seed,
                fold=run.fold,
                base_lr=run.base_lr,
                lr=f'{run.lr:g}',
                steps=run.steps,
                scale=f'{scale:g}',
                best=int(id(row) in best),
                logged_peak_lr=None if row.peak_lr is None else f'{row.peak_lr:g}',
                hours=f'{row.seconds / 3600:.4g}' if row.train else None,
                peak_memory_mb=(row.peak_memory or {}).get('mb'),
                unfinished=row.problem,
                **found,
                **beside,
            )
        )
    return out.getvalue()
