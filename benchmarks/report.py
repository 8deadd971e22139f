"""The measurements as Markdown, and all files of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mmdet_frn.utils.files import write_text_atomic

from .plot import plot_rates
from .rows import FORWARD, TRAINING, Row, to_csv
from .summary import summarise_ratios

BLANK = '-'


def write_report(rows: Sequence[Row], stem: Path, command: str) -> list[Path]:
    """Write ``<stem>.csv``, ``.md`` and ``.png`` and return their paths.

    Args:
        rows: The measurements, at least one.
        stem: Path without a suffix; its folder is made.
        command: What was run, for the report.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(stem.name + suffix) for suffix in ('.csv', '.md', '.png')]
    write_text_atomic(paths[0], to_csv(rows))
    write_text_atomic(paths[1], to_markdown(rows, command))
    plot_rates(rows, paths[2])
    return paths


def to_markdown(rows: Sequence[Row], command: str) -> str:
    """Summary, then a table of times for each dtype and layout."""
    first = rows[0]
    parts = [
        f'# FRN+TLU on {first.device}, torch {first.torch}',
        f'```sh\n{command}\n```',
        f'{first.images} images; medians, with the quartiles in the CSV. A ratio below 1 means '
        'that ours is faster; means are geometric, over the maps.',
        _table(
            ['', 'dtype', 'layout', 'mean', 'worst', 'on map', 'maps'],
            [
                [r.title, r.dtype, r.layout, f'{r.mean:.2f}', f'{r.worst:.2f}', r.worst_map, r.maps]
                for r in summarise_ratios(rows)
            ],
        ),
    ]
    for dtype, layout in dict.fromkeys((row.dtype, row.layout) for row in rows):
        part = [row for row in rows if (row.dtype, row.layout) == (dtype, layout)]
        for mode in (FORWARD, TRAINING):
            parts += [
                f'## {mode}, {dtype}, {layout}: milliseconds',
                _times([row for row in part if row.mode == mode]),
            ]
        parts += [
            f'## Peak memory of forward+backward, {dtype}, {layout}: MB beyond x and dz',
            _peaks([row for row in part if row.mode == TRAINING]),
        ]
    problems = dict.fromkeys(f'- {row.contender}: {row.problem}' for row in rows if row.problem)
    if problems:
        parts += ['## Not measured', '\n'.join(problems)]
    return '\n\n'.join(parts) + '\n'


def _times(rows: Sequence[Row]) -> str:
    return _by_map(rows, lambda row: row.median_us and f'{row.median_us / 1e3:.3g}')


def _peaks(rows: Sequence[Row]) -> str:
    return _by_map(rows, lambda row: row.peak_megabytes and f'{row.peak_megabytes:.3g}')


def _by_map(rows: Sequence[Row], text: Callable[[Row], str | None]) -> str:
    names = list(dict.fromkeys(row.contender for row in rows))
    cells = {(row.map, row.contender): text(row) or BLANK for row in rows}
    lines = []
    for row in {row.map: row for row in rows}.values():
        times = (cells.get((row.map, name), BLANK) for name in names)
        lines.append([row.map, row.places, f'{row.megabytes:.3g}', *times])
    return _table(['map', 'where', 'MB', *names], lines)


def _table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f'| {" | ".join(map(str, row))} |' for row in (heading, *rows)]
    lines.insert(1, f'|:--|{"--:|" * (len(heading) - 1)}')
    return '\n'.join(lines)
