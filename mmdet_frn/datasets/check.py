"""Checks of a COCO-format dataset before training starts; each error is one line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short_repr

from .check_images import SAMPLE, check_images
from .coco_file import DatasetError, Purpose, StrPath, read_coco


@dataclass(frozen=True)
class CocoSummary:
    """What a checked annotation file holds, counted over the requested classes.

    ``images`` counts all listed images, ``zero_area_boxes`` those whose width or height is not
    positive (MMDetection drops them), ``classes`` is in the order of MMDetection's labels.
    """

    images: int
    boxes: int
    images_without_boxes: int
    zero_area_boxes: int
    classes: tuple[str, ...]


def check_coco(
    ann_file: StrPath,
    img_dir: StrPath | None,
    classes: Sequence[str] | None = None,
    purpose: Purpose = 'train',
    sample: int | None = SAMPLE,
    use_exif: bool = True,
) -> CocoSummary:
    """Check a COCO-format annotation file and its image folder.

    Some boxes of zero area and images without objects are legal, and so is naming only some of the
    annotated classes: MMDetection then leaves out the others. Boxes may reach over the edge of
    their image, but not lie beside it or reach further than its size.

    Args:
        ann_file: Annotation file (JSON).
        img_dir: Folder that the images' ``file_name`` are relative to; '' is the working folder.
            None leaves the images unchecked.
        classes: The class list of the config; None takes all categories of the file.
        purpose: 'train' (default) asks for what MMDetection's CocoDataset reads, 'eval' also for
            ``iscrowd``, which COCO's evaluation needs, and 'predict' makes ``annotations``
            optional, as in COCO's test sets.
        sample: How many images to decode. Default 16; None: all.
        use_exif: See :func:`~mmdet_frn.datasets.check_images.check_images`. Default True.

    Returns:
        CocoSummary of the file.

    Raises:
        DatasetError: the file is missing or malformed, images are missing, damaged or of another
            size, boxes are not on their images, there is nothing to evaluate, or the class list
            does not match the annotations.
    """
    data = read_coco(ann_file, purpose)
    _unique(data['images'], 'id', 'images', ann_file)
    sizes = {image['id']: (image['width'], image['height']) for image in data['images']}
    names = _match_classes(data['categories'], classes, ann_file)
    category_ids = {category['id'] for category in data['categories']}
    kept_ids = {category['id'] for category in data['categories'] if category['name'] in names}

    annotations = data.get('annotations', [])
    _unique(annotations, 'id', 'annotations', ann_file)
    boxes = zero_area = 0
    with_boxes = set()
    for ann in annotations:
        image_id, category_id = ann['image_id'], ann['category_id']
        if image_id not in sizes:
            raise _unknown_id(ann, 'image_id', 'images', ann_file)
        if category_id not in category_ids:
            raise _unknown_id(ann, 'category_id', 'categories', ann_file)
        _check_box(ann, *sizes[image_id], ann_file)
        if category_id in kept_ids:
            boxes += 1
            zero_area += min(ann['bbox'][2:]) <= 0
            with_boxes.add(image_id)

    if annotations and not any(min(ann['bbox'][2:]) for ann in annotations):
        raise DatasetError(
            f'all {len(annotations)} boxes of annotation file {ann_file} have a width or height of '
            f'0; export it again'
        )
    if purpose == 'eval' and not boxes:
        raise DatasetError(
            f'annotation file {ann_file} has no boxes of the classes to evaluate, so that every AP '
            f'would be -1 or 0; name the file of the annotated set'
        )
    if img_dir is not None:
        _check_images((image['file_name'] for image in data['images']), img_dir, ann_file)
        check_images(data['images'], img_dir, ann_file, sample, use_exif)
    images = len(sizes)
    return CocoSummary(images, boxes, images - len(with_boxes), zero_area, names)


def _check_box(ann: dict, width: float, height: float, ann_file: StrPath) -> None:
    """Raise if a box is beside its image, or reaches over the edge by more than its size."""
    x, y, box_width, box_height = ann['bbox']
    right, bottom = x + box_width, y + box_height
    if not (-width <= x <= width and -height <= y <= height) or not (
        0 <= right <= 2 * width and 0 <= bottom <= 2 * height
    ):
        raise DatasetError(
            f'annotation {ann["id"]} of annotation file {ann_file} has bbox '
            f'{short_repr(ann["bbox"])}, which is not on its image of {width}x{height}; bbox is '
            f'[x, y, width, height] in pixels: correct or remove it'
        )


def _unique(items: list[dict], field: str, key: str, ann_file: StrPath) -> set:
    """Return the values of ``field``, or raise where two items have the same."""
    seen = set()
    for item in items:
        if item[field] in seen:
            raise DatasetError(
                f'{key} of annotation file {ann_file} has {field} {short_repr(item[field])} more '
                f'than once; give each its own'
            )
        seen.add(item[field])
    return seen


def _unknown_id(ann: dict, field: str, key: str, ann_file: StrPath) -> DatasetError:
    return DatasetError(
        f'annotation {ann["id"]} of annotation file {ann_file} has {field} {ann[field]}, which is '
        f'not among its {key}; add it there or remove the annotation'
    )


def _match_classes(
    categories: list[dict], classes: Sequence[str] | None, ann_file: StrPath
) -> tuple[str, ...]:
    """Return the classes in use, or raise where the config's list and the categories disagree."""
    _unique(categories, 'id', 'categories', ann_file)
    # pycocotools finds ids by name: two categories of a name would make two labels of one class.
    annotated = _unique(categories, 'name', 'categories', ann_file)
    in_file = tuple(category['name'] for category in categories)
    if classes is None:
        return in_file
    if isinstance(classes, str):
        raise DatasetError(
            f'classes is the string {classes!r}, but must be a tuple of names; '
            f'write classes=({classes!r},)'
        )

    missing = [name for name in classes if name not in annotated]
    if missing:
        surplus = [name for name in in_file if name not in classes]
        raise DatasetError(
            f'{len(missing)} of {len(classes)} classes are not among the categories of annotation '
            f'file {ann_file}: {_examples(missing)}; its categories that no class names: '
            f'{_examples(surplus)}; set metainfo=dict(classes=...) to the names in the file'
        )
    repeated = [name for index, name in enumerate(classes) if name in classes[:index]]
    if repeated:
        raise DatasetError(f'classes has {_examples(repeated)} more than once; name each once')
    # MMDetection numbers labels in the order of the file, whatever the order of the config, so
    # that another order would put wrong names on results, and differ between training and test.
    order = tuple(name for name in in_file if name in classes)
    for index, (asked, found) in enumerate(zip(classes, order, strict=True)):
        if asked != found:
            raise DatasetError(
                f'class {index} is {asked!r} but label {index} of annotation file {ann_file} is '
                f'{found!r}: MMDetection numbers the labels in the order of the file; write the '
                f'classes in that order'
            )
    return order


def _check_images(file_names: Iterable[str], img_dir: StrPath, ann_file: StrPath) -> None:
    img_dir = Path(img_dir)
    if not img_dir.is_dir():
        raise DatasetError(
            f'image folder {img_dir} of annotation file {ann_file} does not exist; check '
            f'data_root and data_prefix'
        )
    file_names = list(file_names)
    missing = missing_images(file_names, img_dir)
    if missing:
        raise DatasetError(
            f'{len(missing)} of {len(file_names)} images listed in {ann_file} are missing from '
            f'{img_dir}, e.g. {missing[0]}; check data_prefix or fetch the images'
        )


def missing_images(file_names: Iterable[str], img_dir: Path) -> list[str]:
    """Return those of ``file_names`` that are no files below ``img_dir``."""
    # One listing for each folder: COCO's 118k images would take as many stat calls.
    present: dict[str, set[str]] = {}
    missing = []
    for file_name in file_names:
        folder, name = os.path.split(file_name)
        if folder not in present:
            present[folder] = files_in(img_dir / folder)
        if name not in present[folder]:
            missing.append(file_name)
    return missing


def files_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder, none where it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _examples(names: Sequence[str], limit: int = 5) -> str:
    shown = ', '.join(repr(name) for name in names[:limit])
    rest = len(names) - limit
    return (shown or 'none') + (f' and {rest} more' if rest > 0 else '')
