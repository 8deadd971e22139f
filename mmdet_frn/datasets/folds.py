"""Cross-validation folds of a COCO-format folder: every image is a test image once."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from mmdet_frn.utils.files import write_text_atomic

from .coco_file import DatasetError, read_coco
from .coco_folder import CocoFolder, find_coco


def write_folds(
    folder: CocoFolder, num_folds: int, out: str | Path, seed: int = 0
) -> list[CocoFolder]:
    """Split all images of ``folder``, training and evaluation part together, into folds.

    Fold k is a COCO-format folder of its own, ``out/fold<k>``, that evaluates on the k-th part and
    trains on the others; its images are links. Images are numbered anew, in all folds alike, so
    that detections of several folds can be put together.

    Args:
        folder: What :func:`~mmdet_frn.datasets.find_coco` found.
        num_folds: Folds K, at least 2.
        out: Folder of the folds, created where it is missing; the same folds are written again.
        seed: Of the shuffling before the split. Default 0.

    Returns:
        The folds, 0 to K - 1.

    Raises:
        DatasetError: fewer than 2 folds or fewer images than folds, or the two parts name different
            categories.
    """
    content = _merge(folder)
    images = content['images']
    if not 2 <= num_folds <= len(images):
        raise DatasetError(
            f'folds must be >= 2 and <= {len(images)}, the images of {folder.root}, got {num_folds}'
        )
    order = np.random.default_rng(seed).permutation(len(images))
    fold_of = {
        images[i]['id']: k for k, part in enumerate(np.array_split(order, num_folds)) for i in part
    }
    folds = []
    for k in range(num_folds):
        root = Path(out) / f'fold{k}'
        (root / 'annotations').mkdir(parents=True, exist_ok=True)
        _link(root / 'images' / 'from_train', folder.train_img)
        _link(root / 'images' / 'from_val', folder.val_img)
        _write(root, content, {i for i, fold in fold_of.items() if fold == k})
        folds.append(find_coco(root))
    return folds


def write_search_split(fold: CocoFolder, out: str | Path, part: float = 0.25) -> CocoFolder:
    """Split the training images of a fold, for choices that must not see its test images.

    Args:
        fold: One of :func:`write_folds`.
        out: Folder of the split, created where it is missing; the same split is written again.
        part: Share of the training images to evaluate on, > 0 and < 1. Default 0.25.

    Raises:
        ValueError: part is out of its range.
    """
    if not 0 < part < 1:
        raise ValueError(f'part must be > 0 and < 1, got {part}')
    content = read_coco(fold.train_ann)
    ids = [image['id'] for image in content['images']]
    random.Random(0).shuffle(ids)
    root = Path(out)
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    _link(root / 'images', fold.train_img)
    _write(root, content, set(ids[: round(part * len(ids))]))
    return find_coco(root)


def _write(root: Path, content: dict, test_ids: set[int]) -> None:
    for split, is_test in (('train', False), ('val', True)):
        part = {
            'images': [i for i in content['images'] if (i['id'] in test_ids) == is_test],
            'annotations': [
                a for a in content['annotations'] if (a['image_id'] in test_ids) == is_test
            ],
            'categories': content['categories'],
        }
        write_text_atomic(root / 'annotations' / f'{split}.json', json.dumps(part))


def _merge(folder: CocoFolder) -> dict:
    """Return COCO's content of both parts, images numbered from 1 by file name."""
    images: list[dict] = []
    annotations, categories = [], None
    for ann, part in ((folder.train_ann, 'from_train'), (folder.val_ann, 'from_val')):
        content = read_coco(ann)
        names = {category['id']: category['name'] for category in content['categories']}
        if categories is None:
            categories = content['categories']
            ids = {category['name']: category['id'] for category in categories}
        elif set(names.values()) != set(ids):
            raise DatasetError(
                f'{folder.train_ann} and {ann} name different categories; folds need the same'
            )
        found = {i['id']: dict(i, file_name=f'{part}/{i["file_name"]}') for i in content['images']}
        images += found.values()
        annotations += [
            (found[a['image_id']], dict(a, category_id=ids[names[a['category_id']]]))
            for a in content['annotations']
        ]
    images.sort(key=lambda image: image['file_name'])
    for number, image in enumerate(images, start=1):
        image['id'] = number
    return {
        'images': images,
        'annotations': [
            dict(a, image_id=image['id'], id=n) for n, (image, a) in enumerate(annotations, start=1)
        ],
        'categories': categories,
    }


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(target.resolve(), target_is_directory=True)
