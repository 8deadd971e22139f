"""Checking a folder of COCO 2017: annotations, their counts, and that every image is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmdet_frn.datasets.check import files_in, missing_images
from mmdet_frn.datasets.coco_file import DatasetError, read_coco

from .deep import Image
from .table import Archive, CocoTable, Split

_FETCH = 'fetch with --download'


@dataclass
class TreeReport:
    """What is good, what is not, a line each; which archives would help, and all images there."""

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    archives: list[Archive] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)


def check_tree(root: Path, table: CocoTable, splits: Sequence[str]) -> TreeReport:
    """Check the splits of a folder; nothing is changed.

    Args:
        root: Folder with ``annotations`` and a folder of images for each split.
        table: What should be there.
        splits: Names of splits in ``table``.
    """
    report = TreeReport()
    for name in splits:
        split = table.splits[name]
        data = _check_annotations(root / split.ann_file, split, table, report)
        img_dir = root / split.img_dir
        if data is None:
            _count_images(img_dir, split, report)
        else:
            _check_images(img_dir, data['images'], split, report)
    return report


def _check_annotations(
    ann_file: Path, split: Split, table: CocoTable, report: TreeReport
) -> dict[str, list[dict]] | None:
    if not ann_file.exists():
        report.problems.append(f'{ann_file} is missing; {_FETCH}')
        if table.annotations not in report.archives:
            # First, as its lists say which images are missing.
            report.archives.insert(0, table.annotations)
        return None
    try:
        data = read_coco(ann_file, purpose='eval')
    except DatasetError as error:
        report.problems.append(f'{error}; move it away and {_FETCH}')
        return None
    wanted = dict(images=split.images, annotations=split.annotations, categories=table.categories)
    found = {key: len(data[key]) for key in wanted}
    if found == wanted:
        counts = ', '.join(f'{count} {key}' for key, count in found.items())
        report.facts.append(f'{ann_file}: {counts}')
    else:
        differing = ', '.join(
            f'{found[key]} {key}, not {count}'
            for key, count in wanted.items()
            if found[key] != count
        )
        report.problems.append(
            f'{ann_file} is not the released one: it has {differing}; move it away and {_FETCH}'
        )
    return data


def _count_images(img_dir: Path, split: Split, report: TreeReport) -> None:
    """Count the images where no usable annotations say which there should be."""
    count = len([name for name in files_in(img_dir) if _is_image(name)])
    if count >= split.images:
        report.facts.append(f'{img_dir}: {count} images, their names unchecked')
        return
    report.problems.append(f'{img_dir} has {count} of {split.images} images; {_FETCH}')
    report.archives.append(split.archive)


def _is_image(name: str) -> bool:
    # Names with a dot in front are those of an unfinished extraction.
    return name.endswith('.jpg') and not name.startswith('.')


def _check_images(img_dir: Path, images: list[dict], split: Split, report: TreeReport) -> None:
    missing = missing_images((image['file_name'] for image in images), img_dir)
    if missing:
        more = ', ...' if len(missing) > 3 else ''
        report.problems.append(
            f'{len(missing)} of {len(images)} images are missing from {img_dir}: '
            f'{", ".join(missing[:3])}{more}; {_FETCH}'
        )
        report.archives.append(split.archive)
    else:
        report.facts.append(f'{img_dir}: all {len(images)} images of the annotations')
    absent = set(missing)
    report.images += [
        Image(img_dir / image['file_name'], image['width'], image['height'])
        for image in images
        if image['file_name'] not in absent
    ]
