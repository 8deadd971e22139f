"""What the measurements come to: ratios of our times to others', over the maps of the detector."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import geometric_mean

from .contenders import BATCH_NORM, CLONE, COMPILED, OURS
from .rows import FORWARD, TRAINING, Row

LARGE_MEGABYTES = 16.0


@dataclass(frozen=True)
class Ratio:
    """Ratio of our time to another's: geometric mean over maps, and the map where it is worst."""

    title: str
    dtype: str
    layout: str
    mean: float
    worst: float
    worst_map: str
    maps: int


def summarise_ratios(rows: Iterable[Row]) -> list[Ratio]:
    """Ratios for each dtype and layout; only of what was measured, on maps of the detector."""
    times = {
        (row.dtype, row.layout, row.map, row.mode, row.contender): row
        for row in rows
        if row.median_us is not None and row.calls
    }
    found = []
    for dtype, layout in dict.fromkeys((key[0], key[1]) for key in times):
        for mode, other, least in (
            (FORWARD, CLONE, LARGE_MEGABYTES),
            (TRAINING, BATCH_NORM, 0.0),
            (TRAINING, COMPILED, 0.0),
            (FORWARD, BATCH_NORM, 0.0),
            (FORWARD, COMPILED, 0.0),
        ):
            ratios = {}
            for (*case, name, its_mode, contender), row in times.items():
                base = times.get((*case, name, mode, other))
                if [*case, its_mode, contender] != [dtype, layout, mode, OURS] or base is None:
                    continue
                if row.megabytes >= least:
                    ratios[name] = row.median_us / base.median_us
            if ratios:
                worst = max(ratios, key=ratios.__getitem__)
                size = f', maps of {least:g} MB or more' if least else ''
                found.append(
                    Ratio(
                        f'{mode}, ours / {other}{size}', dtype, layout,
                        geometric_mean(ratios.values()), ratios[worst], worst, len(ratios),
                    )
                )  # fmt: skip
    return found
