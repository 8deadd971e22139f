"""AP against the images per GPU, as the paper's Figure 1 draws accuracy."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from mmdet_frn.compare.table import Table

from .paper import paper_result


def plot_ap(table: Table, path: Path, title: str) -> None:
    """Draw the AP of each method over the images per GPU: ours, and dashed the paper's.

    Args:
        table: Finished cells; seeds are averaged.
        path: Where to write the PNG.
        title: Above the picture.
    """
    figure = Figure(figsize=(6.4, 4.6), layout='constrained')
    axes = figure.subplots()
    colors = mpl.color_sequences['tab10']
    places = range(len(table.images_per_gpu))
    for color, method in zip(colors, table.methods, strict=False):
        ours = [table.mean(method, 'AP', images) for images in table.images_per_gpu]
        paper = [paper_result(method, 'AP', images) for images in table.images_per_gpu]
        for values, style, label in ((ours, 'o-', method), (paper, 'x--', f'{method}, paper')):
            points = [(x, y) for x, y in zip(places, values, strict=True) if y is not None]
            if points:
                axes.plot(*zip(*points, strict=True), style, color=color, label=label)
    axes.set(xlabel='images per GPU', ylabel='AP', xticks=places)
    axes.set_xticklabels(map(str, table.images_per_gpu))
    axes.grid(alpha=0.3)
    axes.legend(fontsize='small', ncols=2)
    figure.suptitle(title, fontsize='medium', wrap=True)
    figure.savefig(path, dpi=120)
