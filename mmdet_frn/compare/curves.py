"""Learning curves of a comparison as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from .cells import Cell
from .results import METRICS
from .scalars import read_scalars

_LINES = ('-', '--', ':', '-.')


def plot_curves(cells: Sequence[Cell], path: Path, x: str = 'images seen', title: str = '') -> None:
    """Draw the training loss and AP50 of each cell, as a PNG.

    A colour is a method, a line style a number of images per GPU; seeds share both.

    Args:
        cells: The cells, finished or not.
        path: Where to write the PNG.
        x: 'images seen', which are the same for all batch sizes, or 'step' of the optimizer, whose
            number is not. Default 'images seen'.
        title: Above the picture. Default none.
    """
    figure = Figure(figsize=(11, 4.2), layout='constrained')
    loss_axes, ap_axes = figure.subplots(1, 2)
    colors = mpl.color_sequences['tab10']
    methods = list(dict.fromkeys(cell.method for cell in cells))
    columns = sorted({cell.images_per_gpu for cell in cells}, reverse=True)
    labelled = set()
    for cell in cells:
        train, val = read_scalars(cell.folder)
        per_iter = (1 if x == 'step' else cell.batch_size) / cell.accumulate
        style = {
            'color': colors[methods.index(cell.method) % len(colors)],
            'linestyle': _LINES[columns.index(cell.images_per_gpu) % len(_LINES)],
        }
        label = cell.method if len(columns) == 1 else f'{cell.method}, {cell.images_per_gpu}/GPU'
        if train:
            loss = _smooth([record['loss'] for record in train.values()])
            at = [iteration * per_iter for iteration in train]
            loss_axes.plot(at, loss, label=None if label in labelled else label, **style)
            labelled.add(label)
        points = [
            (iteration * per_iter, 100 * record[METRICS['AP50']])
            for iteration, record in val.items()
            if _has_ap(record)
        ]
        if points:
            ap_axes.plot(*zip(*points, strict=True), marker='o', markersize=4, **style)
    loss_axes.set(xlabel=x, ylabel='training loss (smoothed)', yscale='log')
    ap_axes.set(xlabel=x, ylabel='AP50', ylim=(0, 100))
    for axes in (loss_axes, ap_axes):
        axes.grid(alpha=0.3)
    if labelled:
        loss_axes.legend(fontsize='small')
    figure.suptitle(title, fontsize='medium', wrap=True)
    figure.savefig(path, dpi=120)


def _has_ap(record: dict) -> bool:
    # CocoMetric logs no AP, and -1 stands for none, where nothing was detected or annotated.
    return record.get(METRICS['AP50'], -1) >= 0


def _smooth(values: Sequence[float], window: int = 5) -> np.ndarray:
    """Mean of each value and up to ``window`` - 1 before it."""
    return np.array([np.mean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))])
