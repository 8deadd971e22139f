"""A measurement, and the CSV file of many."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median, quantiles

FORWARD, TRAINING = 'forward', 'forward+backward'
# Passes over a tensor of the map's size that nothing can do without: forward reads x and writes z,
# backward reads x and dz and writes dx.
PASSES = {FORWARD: 2, TRAINING: 5}


@dataclass(frozen=True)
class Row:
    """One contender on one map; times in microseconds a call, None where it did not run."""

    device: str
    torch: str
    images: int
    map: str
    calls: int
    places: str
    dtype: str
    layout: str
    mode: str
    contender: str
    megabytes: float
    median_us: float | None = None
    q1_us: float | None = None
    q3_us: float | None = None
    samples: int = 0
    peak_megabytes: float | None = None
    problem: str = ''

    @property
    def gb_per_second(self) -> float | None:
        """Least traffic over the time; a contender with more traffic is faster than that."""
        if self.median_us is None:
            return None
        return PASSES[self.mode] * self.megabytes * 1e3 / self.median_us

    @property
    def case(self) -> tuple[str, str, str]:
        """What contenders are compared within, apart from the mode."""
        return self.map, self.dtype, self.layout

    @property
    def key(self) -> tuple[str, ...]:
        """What is measured once in a file."""
        return (*self.case, self.mode, self.contender, str(self.images))


def summarise(seconds: Sequence[float]) -> dict[str, float | int]:
    """Median and quartiles of samples, as the fields of a row."""
    us = [1e6 * s for s in seconds]
    q1, _, q3 = quantiles(us, n=4, method='inclusive') if len(us) > 1 else us * 3
    return dict(median_us=median(us), q1_us=q1, q3_us=q3, samples=len(us))


def to_csv(rows: Iterable[Row]) -> str:
    """One line for each row, with the derived rate and the ratio to a copy."""
    rows = list(rows)
    copies = {(row.case, row.images): row.median_us for row in rows if is_copy(row)}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow([*(field.name for field in fields(Row)), 'gb_per_s', 'times_clone'])
    for row in rows:
        copy = copies.get((row.case, row.images))
        ratio = row.median_us / copy if copy and row.median_us else None
        writer.writerow([_text(value) for value in (*astuple(row), row.gb_per_second, ratio)])
    return out.getvalue()


def is_copy(row: Row) -> bool:
    """Whether the row is the time of one copy of its map."""
    return row.contender == 'clone' and row.mode == FORWARD


def read_csv(path: Path) -> list[Row]:
    """Rows of a file of :func:`to_csv`; none if there is no file."""
    if not path.is_file():
        return []
    kinds = {field.name: field.type for field in fields(Row)}
    with path.open(encoding='utf-8', newline='') as file:
        return [
            Row(**{name: _value(record[name], kind) for name, kind in kinds.items()})
            for record in csv.DictReader(file)
        ]


def merge(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """The old rows, each replaced by the new one of its key, and the other new ones after them."""
    rows = {row.key: row for row in old}
    rows.update((row.key, row) for row in new)
    return list(rows.values())


def _text(value: object) -> str:
    if value is None:
        return ''
    return f'{value:.5g}' if isinstance(value, float) else str(value)


def _value(text: str, kind: str) -> object:
    if kind == 'str':
        return text
    if text == '':
        return None
    return int(text) if kind == 'int' else float(text)
