"""Pictures of an experiment: learning curves with bands, AP by images per GPU, detections."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .paper import paper_result
from .results import METRICS, Row
from .table import Table

_LINES = ('-', '--', ':', '-.')
_COLORS = mpl.color_sequences['tab10']


def plot_curves(rows: Sequence[Row], path: Path, x: str = 'images seen', title: str = '') -> None:
    """Draw the training loss and AP50 by norm and images per GPU, as a PNG.

    A colour is a norm, a line style a number of images per GPU. With several seeds or folds the
    line is their mean and the band reaches from the least to the largest.

    Args:
        rows: Of runs, finished or not.
        path: Where to write.
        x: 'images seen', which are the same for all batch sizes, or 'step' of the optimizer, whose
            number is not. Default 'images seen'.
        title: Above the picture. Default none.
    """
    figure = Figure(figsize=(11, 4.2), layout='constrained')
    loss_axes, ap_axes = figure.subplots(1, 2)
    groups: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.run.norm, row.run.images_per_gpu].append(row)
    norms = list(dict.fromkeys(norm for norm, _ in groups))
    columns = sorted({images for _, images in groups}, reverse=True)
    for (norm, images), group in groups.items():
        run = group[0].run
        per_iteration = (1 if x == 'step' else run.batch_size) / run.accumulate
        style = {
            'color': _COLORS[norms.index(norm) % len(_COLORS)],
            'linestyle': _LINES[columns.index(images) % len(_LINES)],
        }
        label = norm if len(columns) == 1 else f'{norm}, {images}/GPU'
        losses = [{i: record['loss'] for i, record in row.train.items()} for row in group]
        losses = [dict(zip(loss, _smooth(list(loss.values())), strict=True)) for loss in losses]
        _band(loss_axes, losses, per_iteration, label=label, **style)
        # CocoMetric logs no AP, and -1 stands for none, where nothing was detected or annotated.
        key = METRICS['AP50']
        aps = [
            {i: 100 * record[key] for i, record in row.val.items() if record.get(key, -1) >= 0}
            for row in group
        ]
        _band(ap_axes, aps, per_iteration, marker='o', markersize=4, **style)
    loss_axes.set(xlabel=x, ylabel='training loss (smoothed)', yscale='log')
    ap_axes.set(xlabel=x, ylabel='AP50', ylim=(0, 100))
    for axes in (loss_axes, ap_axes):
        axes.grid(alpha=0.3)
    if loss_axes.lines:
        loss_axes.legend(fontsize='small')
    figure.suptitle(title, fontsize='medium', wrap=True)
    figure.savefig(path, dpi=120)


def _band(axes: Axes, curves: list[dict[int, float]], scale: float, **style: Any) -> None:
    """Draw the mean of curves over the iterations that all of them have, and their range."""
    curves = [curve for curve in curves if curve]
    common = sorted(set.intersection(*map(set, curves))) if curves else []
    if not common:
        return
    values = np.array([[curve[i] for i in common] for curve in curves])
    at = np.array(common) * scale
    axes.plot(at, values.mean(axis=0), **style)
    if len(curves) > 1:
        color = style['color']
        axes.fill_between(at, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15)


def _smooth(values: Sequence[float], window: int = 5) -> list[float]:
    """Mean of each value and up to ``window`` - 1 before it."""
    return [float(np.mean(values[max(0, i + 1 - window) : i + 1])) for i in range(len(values))]


def plot_ap(table: Table, path: Path, title: str, *, paper: bool = False) -> None:
    """Draw the AP of each norm over the images per GPU.

    Args:
        table: Of finished rows; seeds are averaged.
        path: Where to write the PNG.
        title: Above the picture.
        paper: Whether to draw the paper's figures too, dashed. Default False.
    """
    figure = Figure(figsize=(6.4, 4.6), layout='constrained')
    axes = figure.subplots()
    places = range(len(table.images_per_gpu))
    for color, norm in zip(_COLORS, table.norms, strict=False):
        ours = [table.mean(norm, 'AP', images) for images in table.images_per_gpu]
        lines = [(ours, 'o-', norm)]
        if paper:
            theirs = [paper_result(norm, 'AP', images) for images in table.images_per_gpu]
            lines.append((theirs, 'x--', f'{norm}, paper'))
        for values, style, label in lines:
            points = [(x, y) for x, y in zip(places, values, strict=True) if y is not None]
            if points:
                axes.plot(*zip(*points, strict=True), style, color=color, label=label)
    axes.set(xlabel='images per GPU', ylabel='AP', xticks=places)
    axes.set_xticklabels(map(str, table.images_per_gpu))
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize='small', ncols=2)
    figure.suptitle(title, fontsize='medium', wrap=True)
    figure.savefig(path, dpi=120)


def plot_detections(
    rows: Sequence[Row], path: Path, num_images: int = 4, score_thr: float = 0.3
) -> list[str]:
    """Draw the first images with objects of the evaluation set: ground truth, then each norm.

    Shows the finished runs of the first seed and fold at the fewest images per GPU, where the norms
    differ most.

    Args:
        rows: Of runs, finished or not.
        path: Where to write the PNG; nothing is written if there is nothing to show.
        num_images: Rows. Default 4.
        score_thr: Detections below this score are not drawn. Default 0.3.

    Returns:
        A line for each run whose detections cannot be read.
    """
    finished = [row for row in rows if row.metrics is not None]
    fewest = min((row.run.images_per_gpu for row in finished), default=0)
    folds = [row.run.fold for row in finished]
    shown, problems = {}, []
    for row in finished:
        run = row.run
        if run.norm in shown or run.images_per_gpu != fewest or run.fold != folds[0]:
            continue
        try:
            by_image: dict[int, list[dict]] = defaultdict(list)
            for detection in row.detections():
                by_image[detection['image_id']].append(detection)
            shown[run.norm] = by_image
        except ValueError as error:
            problems.append(f'{run.name}: unreadable: {error}')
    if not shown:
        return problems
    first = next(row.run for row in finished if row.run.fold == folds[0])
    dataset = first.cfg.test_dataloader.dataset
    folder = Path(dataset.get('data_root') or '', dataset.data_prefix['img'])
    try:
        images, names = _first_images(first.annotations, num_images)
        pictures = [_read_picture(folder / image['file_name']) for image, _ in images]
    except (OSError, ValueError, KeyError) as error:
        return [*problems, f'no picture of detections: {error}']
    if images:
        _draw_grid(images, pictures, names, shown, score_thr).savefig(path, dpi=110)
    return problems


def _first_images(
    ann_file: Path, number: int
) -> tuple[list[tuple[dict, list[dict]]], dict[int, str]]:
    """Return the first images with objects, with their annotations, and the classes by id."""
    content = json.loads(ann_file.read_text(encoding='utf-8'))
    objects = defaultdict(list)
    for annotation in content['annotations']:
        objects[annotation['image_id']].append(annotation)
    images = [(i, objects[i['id']]) for i in content['images'] if i['id'] in objects]
    return images[:number], {c['id']: c['name'] for c in content['categories']}


def _read_picture(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    if picture is None:
        raise OSError(f'{path} cannot be read')
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _draw_grid(
    images: list[tuple[dict, list[dict]]],
    pictures: list[np.ndarray],
    names: dict[int, str],
    shown: dict[str, dict[int, list[dict]]],
    score_thr: float,
) -> Figure:
    row_height = 3 * max(picture.shape[0] / picture.shape[1] for picture in pictures)
    size = (3 * (1 + len(shown)), row_height * len(images) + 0.6)
    figure = Figure(figsize=size, layout='constrained')
    grid = figure.subplots(len(images), 1 + len(shown), squeeze=False)
    for row, (image, objects), picture in zip(grid, images, pictures, strict=True):
        for axes in row:
            axes.imshow(picture)
            axes.set_axis_off()
        for annotation in objects:
            _draw(row[0], annotation, names)
        for axes, by_image in zip(row[1:], shown.values(), strict=True):
            # The surest last, so that its label is on top.
            for found in sorted(by_image[image['id']], key=lambda d: d['score']):
                if found['score'] >= score_thr:
                    _draw(axes, found, names)
    for axes, title in zip(grid[0], ['ground truth', *shown], strict=True):
        axes.set_title(title)
    figure.supxlabel(f'detections with a score of at least {score_thr:g}', fontsize=9)
    return figure


def _draw(axes: Axes, box: dict, names: dict[int, str]) -> None:
    """Draw an annotation or a detection with its class and score."""
    name = names.get(box['category_id'], '?')
    place = list(names).index(box['category_id']) if box['category_id'] in names else -1
    color = _COLORS[place % len(_COLORS)]
    x, y, width, height = box['bbox']
    axes.add_patch(Rectangle((x, y), width, height, fill=False, color=color, linewidth=1.5))
    text = f'{name} {box["score"]:.2f}' if 'score' in box else name
    label = {'facecolor': color, 'edgecolor': 'none', 'pad': 0.8, 'alpha': 0.8}
    # A class may be called by what matplotlib reads as a formula.
    style: dict[str, Any] = {'fontsize': 6, 'color': 'white', 'va': 'bottom', 'parse_math': False}
    axes.text(x, y, text, bbox=label, clip_on=True, **style)
