"""Checking a folder of COCO 2017: annotations, their counts, and that every image is there."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal

from tqdm import tqdm

from mmdet_frn.datasets.check import files_in, missing_images
from mmdet_frn.datasets.check_images import stored_size
from mmdet_frn.datasets.coco_file import DatasetError, read_coco

from .table import Archive, CocoTable, Split


@dataclass
class Report:
    """Lines on what is good and bad, which archives would help, and images as (path, size)."""

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    archives: list[Archive] = field(default_factory=list)
    images: list[tuple[Path, tuple[int, int]]] = field(default_factory=list)


def check_folder(root: Path, table: CocoTable, splits: Sequence[str]) -> Report:
    """Check the splits of a folder without changing anything."""
    report = Report()
    for split in (table.splits[name] for name in splits):
        ann_file = root / f'annotations/instances_{split.name}.json'
        images = None
        if ann_file.exists():
            images = _check_annotations(ann_file, split, table.categories, report)
        else:
            report.problems.append(f'{ann_file} is missing; add --download')
            if table.annotations not in report.archives:
                # First, as its lists say which images are missing.
                report.archives.insert(0, table.annotations)
        _check_images(root / split.name, images, split, report)
    return report


def _check_annotations(path: Path, split: Split, categories: int, report: Report) -> list | None:
    """Return the entries of the images, None where the file cannot be read."""
    try:
        data = read_coco(path, purpose='eval')
    except DatasetError as error:
        report.problems.append(f'{error}; move it away and add --download')
        return None
    wanted = dict(images=split.images, annotations=split.annotations, categories=categories)
    found = ', '.join(f'{len(data[key])} {key}' for key in wanted)
    released = ', '.join(f'{count} {key}' for key, count in wanted.items())
    if found == released:
        report.facts.append(f'{path}: {found}')
    else:
        report.problems.append(
            f'{path} has {found}, not the released {released}; move it away and add --download'
        )
    return data['images']


def _check_images(folder: Path, images: list | None, split: Split, report: Report) -> None:
    if images is None:  # nothing says which there should be
        count = sum(name.endswith('.jpg') for name in files_in(folder))
        missing = ['...'] * (split.images - count)
    else:
        missing = missing_images((image['file_name'] for image in images), folder)
        sizes = {image['file_name']: (image['width'], image['height']) for image in images}
        there = sizes.keys() - set(missing)
        report.images += [(folder / name, sizes[name]) for name in sorted(there)]
    if missing:
        names = ', '.join(missing[:3])
        problem = f'{len(missing)} images are missing from {folder}: {names}; add --download'
        report.problems.append(problem)
        report.archives.append(split.archive)
    else:
        report.facts.append(f'{folder}: all images')


def find_bad_images(images: Sequence[tuple]) -> list[str]:
    """Decode images, given as (path, size); a line for each that fails or has another size."""
    # Forked: a new process would import MMDetection first. Ctrl-C is left to the parent.
    pool = ProcessPoolExecutor(
        mp_context=get_context('fork'), initializer=signal, initargs=(SIGINT, SIG_IGN)
    )
    try:
        found = pool.map(_problem_of, images, chunksize=32)
        return [line for line in tqdm(found, 'decoding', len(images)) if line]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _problem_of(image: tuple[Path, tuple[int, int]]) -> str | None:
    path, size = image
    try:
        found = stored_size(path)
    except Exception as error:  # Pillow's readers raise what their formats make of it
        return f'{path} cannot be decoded ({error}); remove it and add --download'
    if found == size:
        return None
    return f'{path} is {found}, but {size} in the annotations; remove it and add --download'
