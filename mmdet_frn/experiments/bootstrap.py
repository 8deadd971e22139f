"""AP of resampled test images: COCO's average precision as a function of how often each counts."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

_RECALLS = np.linspace(0.0, 1.0, 101)
# Of AP, AP50 and AP75 among COCO's thresholds of the overlap, 0.5 to 0.95.
IOUS = {'AP': slice(None), 'AP50': slice(0, 1), 'AP75': slice(5, 6)}


@dataclass
class Matches:
    """Matched detections of one class, the surest first.

    ``image`` (D,) is the index of each detection's image, ``hit`` and ``ignored`` (T, D) what
    became of it at each threshold, ``objects`` (I,) how many objects each image has.
    """

    scores: np.ndarray
    image: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray
    objects: np.ndarray


def match(ann_file: Path, detections: Sequence[dict]) -> list[Matches]:
    """Match detections with the ground truth by pycocotools, a :class:`Matches` for each class.

    Args:
        ann_file: COCO-format annotations.
        detections: In COCO's results format.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(ann_file))
        if detections:
            found = truth.loadRes(list(detections))
        else:
            found = COCO()
            found.dataset = {**truth.dataset, 'annotations': []}
            found.createIndex()
        evaluation = COCOeval(truth, found, 'bbox')
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
        evaluation.evaluate()
    images = len(evaluation.params.imgIds)
    evaluated = evaluation.evalImgs
    return [
        _collect(evaluated[start : start + images])
        for start in range(0, len(evaluated), max(images, 1))
    ]


def _collect(evaluated: Sequence[dict | None]) -> Matches:
    objects = np.array([0 if e is None else (1 - e['gtIgnore']).sum() for e in evaluated])
    found = [(i, e) for i, e in enumerate(evaluated) if e is not None]
    if not found:
        none = np.zeros((10, 0), bool)
        return Matches(np.zeros(0), np.zeros(0, int), none, none, objects.astype(int))
    ignored = np.concatenate([e['dtIgnore'] for _, e in found], axis=1).astype(bool)
    hit = np.concatenate([e['dtMatches'] for _, e in found], axis=1).astype(bool) & ~ignored
    scores = np.concatenate([np.asarray(e['dtScores'], float) for _, e in found])
    image = np.concatenate([np.full(len(e['dtScores']), i) for i, e in found]).astype(int)
    order = np.argsort(-scores, kind='mergesort')
    return Matches(
        scores[order], image[order], hit[:, order], ignored[:, order], objects.astype(int)
    )


def pool(parts: Sequence[list[Matches]]) -> list[Matches]:
    """Put the matches of several folds together: the images of all, one after the other."""
    pooled = []
    for classes in zip(*parts, strict=True):
        offsets = np.cumsum([0, *(len(part.objects) for part in classes)])
        scores = np.concatenate([part.scores for part in classes])
        order = np.argsort(-scores, kind='mergesort')
        shifted = [part.image + offset for part, offset in zip(classes, offsets, strict=False)]
        pooled.append(
            Matches(
                scores[order],
                np.concatenate(shifted)[order],
                np.concatenate([part.hit for part in classes], axis=1)[:, order],
                np.concatenate([part.ignored for part in classes], axis=1)[:, order],
                np.concatenate([part.objects for part in classes]),
            )
        )
    return pooled


def average_precision(matches: Sequence[Matches], weights: np.ndarray) -> np.ndarray:
    """Return the AP of each weighting of the images at each threshold, 0 to 1.

    With all weights 1 it is that of ``COCOeval.accumulate``; a weight of 2 counts an image twice.

    Args:
        matches: Of each class.
        weights: How often each image counts, (B, I).

    Returns:
        Mean over the classes that have an object, (B, T).
    """
    per_class = np.stack([_class_precision(part, weights) for part in matches])
    counted = np.maximum((~np.isnan(per_class)).sum(axis=0), 1)
    return np.nansum(per_class, axis=0) / counted


def _class_precision(part: Matches, weights: np.ndarray) -> np.ndarray:
    """Return the AP of a class, (B, T); nan where no weighted image has an object of it."""
    objects = weights @ part.objects
    of_detection = weights[:, part.image]
    result = np.zeros((len(weights), len(part.hit)))
    kept = None
    for t, hit in enumerate(part.hit):
        if kept is None or not np.array_equal(kept, ~part.ignored[t]):
            kept = ~part.ignored[t]
            all_found = np.cumsum(of_detection * kept, axis=1)
        # Precision has its maxima, and recall its steps, at the hits.
        true_found = np.cumsum(of_detection[:, hit], axis=1)
        if not true_found.shape[1]:
            continue
        precision = true_found / (all_found[:, hit] + np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = true_found / np.maximum(objects, 1)[:, None]
        # How many of COCO's 101 recalls each hit is the first to reach.
        reached = np.searchsorted(_RECALLS, recall, side='right')
        result[:, t] = (precision * np.diff(reached, axis=1, prepend=0)).sum(axis=1)
    return np.where(objects[:, None] > 0, result / len(_RECALLS), np.nan)


def resample(images: int, samples: int, seed: int = 0) -> np.ndarray:
    """Return how often each image is drawn in each bootstrap sample, (samples + 1, images).

    The first row is the set itself, each image once.
    """
    drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), samples)
    return np.concatenate([np.ones((1, images), drawn.dtype), drawn])
