"""A detection set that needs no download: geometric shapes on textured backgrounds."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from .coco_file import DatasetError
from .drawing import CLASSES, draw_image

MANIFEST = 'dataset.json'
# Part of the manifest: raise it with every change to what is drawn.
_VERSION = 1
_SPLITS = ('train', 'val')
_MIN_SIZE = 32
_EMPTY_EVERY = 25


def write_shapes(
    root: str | os.PathLike,
    num_train: int = 300,
    num_val: int = 100,
    image_size: int | tuple[int, int] = 128,
    seed: int = 0,
    max_objects: int = 8,
) -> Path:
    """Write a COCO-format detection set of shapes, unless it is there already.

    Writes ``train/*.png``, ``val/*.png``, ``annotations/instances_train.json``,
    ``annotations/instances_val.json`` and ``dataset.json``, the arguments. Shapes are lighter than
    the background, but colour, texture and contrast tell nothing of the class; they are rotated
    and stretched, and at least nine tenths of each are visible. Boxes, areas and masks (RLE) are
    those of the visible pixels. An image depends on ``image_size``, ``seed``, ``max_objects``, its
    split and its index only: a larger ``num_train`` keeps the images of a smaller. Every 25th
    image has no object, the others three or more as long as they find a place.

    The set is written aside and renamed when complete, so that a killed run leaves no half of one.

    Args:
        root: Folder of the set.
        num_train: Number of training images. Default 300.
        num_val: Number of validation images. Default 100.
        image_size: (height, width) in pixels, or one number for both, at least 32. Default 128.
        seed: Seed, not negative. Default 0.
        max_objects: Largest number of objects in an image, at least 1. Default 8.

    Returns:
        ``root`` as a Path.

    Raises:
        DatasetError: ``root`` holds something else, or a set made with other arguments.
        ValueError: an argument is out of range.
    """
    root = Path(root)
    height, width = (image_size,) * 2 if isinstance(image_size, int) else image_size
    size = (height, width)
    manifest = dict(
        generator='shapes',
        version=_VERSION,
        num_train=num_train,
        num_val=num_val,
        image_size=list(size),
        seed=seed,
        max_objects=max_objects,
    )
    for name, value, least in (
        ('num_train', num_train, 1),
        ('num_val', num_val, 1),
        ('image_size', min(size), _MIN_SIZE),
        ('seed', seed, 0),
        ('max_objects', max_objects, 1),
    ):
        if value < least:
            raise ValueError(f'{name} must be at least {least}, but is {value}')
    if _is_written(root, manifest):
        return root

    root.parent.mkdir(parents=True, exist_ok=True)
    unfinished = root.parent / f'.{root.name}.{uuid.uuid4().hex}.tmp'
    try:
        for split, count in zip(_SPLITS, (num_train, num_val), strict=True):
            _write_split(unfinished, split, count, size, seed, max_objects)
        (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=2) + '\n')
        try:
            unfinished.rename(root)
        except OSError:
            # Another process, a second rank for example, may have finished the same set first.
            if not _is_written(root, manifest):
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return root


def _is_written(root: Path, manifest: dict) -> bool:
    """Whether ``root`` holds the set of ``manifest``; raise where it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    remedy = 'choose another folder, or remove this one to have it written anew'
    try:
        found = json.loads((root / MANIFEST).read_text())
        is_ours = found['generator'] == manifest['generator']
    except (OSError, ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise DatasetError(f'{root} exists and is not a generated set of shapes; {remedy}')
    changed = [key for key, value in manifest.items() if found.get(key) != value]
    if changed:
        made = ', '.join(f'{key}={found.get(key)}' for key in changed)
        asked = ', '.join(f'{key}={manifest[key]}' for key in changed)
        raise DatasetError(f'{root} holds a set made with {made}, not {asked}; {remedy}')
    return True


def _write_split(
    root: Path, split: str, count: int, size: tuple[int, int], seed: int, max_objects: int
) -> None:
    folder = root / split
    folder.mkdir(parents=True)
    images = []
    annotations: list[dict] = []
    for index in range(count):
        rng = np.random.default_rng([seed, _SPLITS.index(split), index])
        image, objects = draw_image(
            rng, size, 0 if (index + 1) % _EMPTY_EVERY == 0 else max_objects
        )
        file_name = f'{index:06d}.png'
        if not cv2.imwrite(str(folder / file_name), image, [cv2.IMWRITE_PNG_COMPRESSION, 3]):
            raise OSError(f'cannot write {folder / file_name}')
        images.append(dict(id=index + 1, file_name=file_name, height=size[0], width=size[1]))
        for label, visible in objects:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index + 1,
                    category_id=label + 1,
                    iscrowd=0,
                    **_mask_fields(visible),
                )
            )
    data = dict(
        info=dict(description=f'Shapes on textured backgrounds, {split}, seed {seed}'),
        licenses=[],
        images=images,
        annotations=annotations,
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)],
    )
    ann_file = root / 'annotations' / f'instances_{split}.json'
    ann_file.parent.mkdir(exist_ok=True)
    ann_file.write_text(json.dumps(data))


def _mask_fields(visible: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(visible, dtype=np.uint8))
    return dict(
        bbox=coco_mask.toBbox(rle).tolist(),
        area=int(coco_mask.area(rle)),
        segmentation=dict(size=list(rle['size']), counts=rle['counts'].decode()),
    )
