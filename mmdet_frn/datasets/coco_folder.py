"""Recognising a user's folder of COCO-format images and annotations."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .coco_file import DatasetError, read_coco

# Names of the split that is evaluated: the first found is taken.
_EVAL_SPLITS = ('val', 'valid', 'validation', 'test')
_ROBOFLOW = '_annotations.coco.json'
_LAYOUTS = (
    'annotations/[instances_]train[YEAR].json with train[YEAR]/, images/train[YEAR]/ or images/, '
    f'or train/{_ROBOFLOW}, and the same with {", ".join(_EVAL_SPLITS[:-1])} or {_EVAL_SPLITS[-1]}'
)


@dataclass(frozen=True)
class CocoFolder:
    """The files of a COCO-format folder; all paths start with ``root``.

    ``classes`` are the categories in the order of the training annotations, which is the order
    of MMDetection's labels (the order of the ids in nearly every file).
    """

    root: Path
    train_ann: Path
    train_img: Path
    val_ann: Path
    val_img: Path
    classes: tuple[str, ...]


def find_coco(root: str | os.PathLike) -> CocoFolder:
    """Find the training and evaluation parts of a COCO-format folder.

    Recognises COCO's own layout (``annotations/instances_train2017.json``, ``train2017/``), the
    same without the year or the prefix, with the images in ``images/train/`` or all in ``images/``,
    and Roboflow's (``train/_annotations.coco.json``). The evaluation part is ``val``, ``valid``,
    ``validation`` or ``test``, whichever of them comes first in this order.

    Args:
        root: The folder.

    Returns:
        CocoFolder. The images are not checked: see :func:`~mmdet_frn.datasets.check_coco`.

    Raises:
        DatasetError: no layout fits, more than one does, or the training annotations are
            unusable.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f'data folder {root} does not exist; give the path of a folder')
    train_ann, train_img = _find_split(root, 'train') or _fail(root, 'training')
    for split in _EVAL_SPLITS:
        found = _find_split(root, split)
        if found:
            break
    val_ann, val_img = found or _fail(root, 'evaluation')
    classes = tuple(category['name'] for category in read_coco(train_ann)['categories'])
    return CocoFolder(root, train_ann, train_img, val_ann, val_img, classes)


def _find_split(root: Path, split: str) -> tuple[Path, Path] | None:
    """Return the annotation file and the image folder of a split, None where neither is there."""
    pattern = re.compile(rf'(?:instances_)?({split}(?:\d{{4}})?)\.json')
    found = []
    for path in sorted(root.glob('annotations/*.json')):
        match = pattern.fullmatch(path.name)
        if match:
            found.append((path, [root / match[1], root / 'images' / match[1], root / 'images']))
    roboflow = root / split / _ROBOFLOW
    if roboflow.is_file():
        found.append((roboflow, [roboflow.parent]))

    if not found:
        return None
    if len(found) > 1:
        names = ', '.join(str(ann.relative_to(root)) for ann, _ in found)
        raise DatasetError(
            f'{root} has more than one annotation file for {split}: {names}; keep one of them there'
        )
    ann, folders = found[0]
    for folder in folders:
        if folder.is_dir():
            return ann, folder
    tried = ', '.join(f'{folder.relative_to(root)}/' for folder in folders)
    raise DatasetError(
        f'the images of {ann} are in none of {tried} of {root}; put them or a link to them there'
    )


def _fail(root: Path, part: str) -> NoReturn:
    found = sorted(
        f'{path.relative_to(root)}{"/" if path.is_dir() else ""}'
        for pattern in ('*', 'annotations/*.json')
        for path in root.glob(pattern)
    )
    shown = ', '.join(found[:10]) + (f' and {len(found) - 10} more' if len(found) > 10 else '')
    raise DatasetError(
        f'{root} has no COCO-format {part} set: looked for {_LAYOUTS}; found '
        f'{shown or "nothing"}; rename or link the files to one of these'
    )
