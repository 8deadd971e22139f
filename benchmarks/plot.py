"""The measurements as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from .rows import FORWARD, TRAINING, Row


def plot_rates(rows: Sequence[Row], path: Path) -> None:
    """Draw GB/s of least traffic over the maps, a panel for each mode, dtype and layout, as a PNG.

    Args:
        rows: The measurements.
        path: Where to write it.
    """
    rows = [row for row in rows if row.calls or not any(r.calls for r in rows)]
    cases = list(dict.fromkeys((row.dtype, row.layout) for row in rows))
    names = list(dict.fromkeys(row.contender for row in rows))
    maps = sorted({row.map: row.megabytes for row in rows}.items(), key=lambda item: -item[1])
    places = {name: i for i, (name, _) in enumerate(maps)}
    colors = mpl.color_sequences['tab10']
    figure = Figure(figsize=(12, 3.2 * len(cases) + 1), layout='constrained')
    panels = figure.subplots(len(cases), 2, squeeze=False, sharex=True)
    for axes_of_case, case in zip(panels, cases, strict=True):
        for axes, mode in zip(axes_of_case, (FORWARD, TRAINING), strict=True):
            for i, name in enumerate(names):
                points = sorted(
                    (places[row.map], row.gb_per_second)
                    for row in rows
                    if (row.dtype, row.layout, row.mode, row.contender) == (*case, mode, name)
                    and row.gb_per_second is not None
                )
                if points:
                    color = colors[i % len(colors)]
                    axes.plot(*zip(*points, strict=True), marker='o', color=color, label=name)
            axes.set(title=f'{mode}, {", ".join(case)}', ylabel='GB/s of least traffic', ylim=0)
            axes.set_xticks(range(len(maps)), [name for name, _ in maps], rotation=60, ha='right')
            axes.grid(alpha=0.3)
    lines, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(lines, labels, fontsize='small', loc='outside lower center', ncols=5)
    figure.savefig(path, dpi=110)
