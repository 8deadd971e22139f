"""The report of an experiment: a Markdown page, a CSV of all runs, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mmcv
import mmdet
import torch

from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.files import write_text_atomic
from mmdet_frn.version import __version__

from .differences import Bootstrap, bootstrap
from .plots import plot_ap, plot_curves, plot_detections
from .results import METRICS, Row
from .smoke import Scale
from .table import Table, make_table, to_csv, to_markdown, to_text

PAGE = 'report.md'
CSV = 'results.csv'


@dataclass(frozen=True)
class Output:
    """What a report says beside its numbers.

    Args:
        title: Heading.
        samples: Bootstrap samples; 0 for no intervals. Default 1000.
        paper: Whether the paper's figures stand beside. Default False.
    """

    title: str = 'Comparison of norms'
    samples: int = 1000
    paper: bool = False

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise UsageError(f'--bootstrap must be >= 0, got {self.samples}')


class Report:
    """What the runs gave so far.

    Args:
        rows: Of all runs, finished or not.
        output: What it says beside their numbers.
        scale: Of a smoke run, which every title names. Default: none.
        unreadable: A line for each folder that could not be read. Default none.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        output: Output,
        scale: Scale | None = None,
        unreadable: Sequence[str] = (),
    ) -> None:
        self.rows = rows
        self.scale = scale or Scale()
        self.title = output.title + (f' ({self.scale.title})' if self.scale.title else '')
        self.table: Table = make_table(rows)
        self.paper = output.paper
        self.unreadable = list(unreadable)
        self.bootstrap: Bootstrap | None = None
        if output.samples and self.table.best:
            self.bootstrap = bootstrap(self.table, output.samples)

    def text(self) -> str:
        """Return the tables for a terminal."""
        parts = [self.scale.note, to_text(self.table.rows())]
        parts += [to_text(rows, headings=1) for rows in self._intervals()]
        if self.bootstrap and self.bootstrap.images:
            parts.append(self.bootstrap.note())
        parts += self.problems()
        return '\n\n'.join(part for part in parts if part)

    def _intervals(self) -> list[list[list[str]]]:
        if self.bootstrap is None:
            return []
        tables = [self.bootstrap.pooled_rows(), self.bootstrap.difference_rows()]
        return [rows for rows in tables if len(rows) > 1]

    def problems(self) -> list[str]:
        """Return a section on the runs without a result, and what could not be read."""
        missing = [f'- {row.run.name}: {row.problem}' for row in self.rows if row.problem]
        missing += [f'- {line}' for line in self.unreadable]
        missing += [f'- {line}' for line in (self.bootstrap.problems if self.bootstrap else ())]
        lines = dict.fromkeys(missing)
        return ['\n'.join(['Not finished or not readable:', '', *lines])] if lines else []

    def write(self, folder: Path) -> list[Path]:
        """Write the report, in place of an earlier one in ``folder``; return the files.

        Raises:
            OSError: the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        results, page = folder / CSV, folder / PAGE
        write_text_atomic(
            results, to_csv(self.rows, self.table, self.scale.factor, paper=self.paper)
        )
        pictures = self._pictures(folder)
        table = self.table
        beside = []
        if self.paper:
            heading = "The same with the paper's figure and the difference to it:"
            beside = [heading, to_markdown(table.beside_the_paper())]
        sections = [
            f'# {self.title}',
            self.scale.note,
            to_markdown(table.rows()),
            self._notes(),
            *beside,
            *self._interval_sections(),
            'What training took, of each entry of the table (the mean over its runs):',
            to_markdown(table.costs(self.rows)),
            *self.problems(),
            *(f'![{alt}]({path.name})' for path, alt in pictures.items()),
        ]
        write_text_atomic(page, '\n\n'.join(section for section in sections if section) + '\n')
        return [page, results, *pictures]

    def _pictures(self, folder: Path) -> dict[Path, str]:
        paths = [
            folder / f'{name}.png' for name in ('curves', 'ap_by_images_per_gpu', 'detections')
        ]
        for path in paths:
            path.unlink(missing_ok=True)
        curves, ap, detections = paths
        best = [row for group in self.table.best.values() for row in group]
        x = 'step' if self.paper else 'images seen'
        plot_curves(best or self.rows, curves, x, self.title)
        if len(self.table.images_per_gpu) > 1 or self.paper:
            plot_ap(self.table, ap, self.title, paper=self.paper)
        # Table 6 is reported where the images are not.
        self.unreadable += [] if self.paper else plot_detections(self.rows, detections)
        alts = ('training loss and AP50', 'AP against images per GPU', 'detections')
        return {p: alt for p, alt in zip(paths, alts, strict=True) if p.is_file()}

    def _interval_sections(self) -> list[str]:
        tables = self._intervals()
        if not tables or self.bootstrap is None:
            return []
        headings = ('Over all test images, with intervals:', 'Paired differences, in points of AP:')
        sections = []
        for heading, rows in zip(headings, tables, strict=False):
            sections += [heading, to_markdown(rows)]
        return [*sections, self.bootstrap.note()]

    def _notes(self) -> str:
        first = self.rows[0].run
        seeds = sorted({row.run.seed for row in self.rows})
        folds = {row.run.fold for row in self.rows} - {None}
        runs = f'seeds {", ".join(map(str, seeds))}' + (f', {len(folds)} folds' if folds else '')
        spread = ', mean ± standard deviation' if len(seeds) * max(len(folds), 1) > 1 else ''
        by = f', each for {first.accumulate} by accumulation' if first.accumulate > 1 else ''
        schedule = dict.fromkeys(
            f'{r.images_per_gpu} images per GPU: {r.steps} steps at lr {r.lr:g}'
            for r in (row.run for group in self.table.best.values() for row in group)
        )
        lines = [
            f"{', '.join(METRICS)} are COCO's, in percent, on `{first.annotations}`. "
            f'{first.num_gpus} GPU(s) or process(es){by}; {runs}{spread}.',
            f'{"; ".join(schedule)}.' if schedule else '',
            f'mmdet_frn {__version__}, mmdet {mmdet.__version__}, mmcv {mmcv.__version__}, '
            f'torch {torch.__version__}.',
        ]
        if self.paper:
            lines.append('The paper reports one run with the best of three base learning rates.')
        return '\n'.join(line for line in lines if line)
