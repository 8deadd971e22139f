"""Detections of each method beside the ground truth, as a picture."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pycocotools.coco import COCO

from .cells import PREDICTIONS, Cell
from .results import read_result


def plot_detections(
    cells: Sequence[Cell], path: Path, num_images: int = 4, score_thr: float = 0.3
) -> bool:
    """Draw the first images with objects of the evaluation set: ground truth, then each method.

    Shows the finished cells of the first seed at the fewest images per GPU, where the methods
    differ most.

    Args:
        cells: The cells, finished or not.
        path: Where to write the PNG.
        num_images: Rows. Default 4.
        score_thr: Detections below this score are not drawn. Default 0.3.

    Returns:
        Whether there was a finished cell, and so a picture.
    """
    finished = [cell for cell in cells if read_result(cell.folder) is not None]
    if not finished:
        return False
    fewest = min(cell.images_per_gpu for cell in finished)
    shown = {c.method: c for c in reversed(finished) if c.images_per_gpu == fewest}
    shown = [cell for cell in finished if shown.get(cell.method) is cell]
    predictions = {cell.method: _read_predictions(cell) for cell in shown}
    coco = COCO(shown[0].cfg.test_evaluator.ann_file)
    classes = shown[0].cfg.test_dataloader.dataset.metainfo.classes
    images = [i for i in coco.getImgIds() if coco.getAnnIds(i)][:num_images]
    if not images:
        return False

    sizes = [coco.imgs[i] for i in images]
    row_height = 3 * max(size['height'] / size['width'] for size in sizes)
    figure = Figure(
        figsize=(3 * (1 + len(shown)), row_height * len(images) + 0.6), layout='constrained'
    )
    grid = figure.subplots(len(images), 1 + len(shown), squeeze=False)
    for row, image_id in zip(grid, images, strict=True):
        sample = predictions[shown[0].method][image_id]
        picture = cv2.cvtColor(cv2.imread(sample['img_path']), cv2.COLOR_BGR2RGB)
        for axes in row:
            axes.imshow(picture)
            axes.set_axis_off()
        for annotation in coco.loadAnns(coco.getAnnIds(image_id)):
            x, y, w, h = annotation['bbox']
            name = coco.cats[annotation['category_id']]['name']
            _draw(row[0], (x, y, x + w, y + h), name, classes)
        for axes, cell in zip(row[1:], shown, strict=True):
            detected = predictions[cell.method][image_id]['pred_instances']
            # The surest last, so that its label is on top.
            for i in detected['scores'].argsort():
                score, name = detected['scores'][i].item(), classes[detected['labels'][i]]
                if score >= score_thr:
                    _draw(axes, detected['bboxes'][i].tolist(), name, classes, score)
    for axes, title in zip(grid[0], ['ground truth', *predictions], strict=True):
        axes.set_title(title)
    figure.supxlabel(f'detections with a score of at least {score_thr:g}', fontsize=9)
    figure.savefig(path, dpi=110)
    return True


def _read_predictions(cell: Cell) -> dict[int, dict]:
    with (cell.folder / PREDICTIONS).open('rb') as file:
        return {sample['img_id']: sample for sample in pickle.load(file)}


def _draw(
    axes: Axes,
    box: Sequence[float],
    name: str,
    classes: Sequence[str],
    score: float | None = None,
) -> None:
    """Draw a box (x1, y1, x2, y2) with its class and score."""
    colors = mpl.color_sequences['tab10']
    color = colors[list(classes).index(name) % len(colors)] if name in classes else 'white'
    x1, y1, x2, y2 = np.asarray(box, dtype=float)
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=color, linewidth=1.5))
    text = name if score is None else f'{name} {score:.2f}'
    label = {'facecolor': color, 'edgecolor': 'none', 'pad': 0.8, 'alpha': 0.8}
    axes.text(x1, y1, text, fontsize=6, color='white', bbox=label, va='bottom', clip_on=True)
