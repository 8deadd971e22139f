"""What ``tools/prepare_coco.py`` does: checks a folder of COCO 2017, downloads what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdet_frn.utils.lock import locked

from .check import check_folder, find_bad_images
from .download import download
from .table import COCO2017, CocoTable


def prepare_coco(
    root: Path,
    splits: Sequence[str] = ('train', 'val'),
    *,
    deep: bool = False,
    base_url: str | None = None,
    table: CocoTable = COCO2017,
) -> int:
    """Check the splits of COCO below ``root``; with ``base_url`` download what is missing.

    Args:
        root: Folder of the dataset.
        splits: Of 'train' and 'val' (default both).
        deep: Decode every image.
        base_url: Server to download from, '' for COCO's own. Default None: only check.
        table: What the dataset consists of.

    Returns:
        Exit status: 0, or 1 if something is missing, bad, or could not be downloaded.
    """
    report = check_folder(root, table, splits)
    done: set = set()
    # Twice at most: the annotations, once there, may show that images are missing.
    while base_url is not None and (archives := [a for a in report.archives if a not in done]):
        try:
            root.mkdir(parents=True, exist_ok=True)
            with locked(root / '.prepare_coco.lock', f'another process downloads into {root}'):
                download(archives, root, base_url or table.base_url)
        except OSError as error:
            print(f'error: {error}')
            return 1
        done.update(archives)
        report = check_folder(root, table, splits)
    if deep:
        report.problems += find_bad_images(report.images)
    for fact in report.facts:
        print(f'good: {fact}')
    for problem in report.problems:
        print(f'bad: {problem}')
    state = 'complete' + (', and every image decodes' if deep else '')
    print(f'{root}: ' + (f'{len(report.problems)} problems' if report.problems else state))
    return 1 if report.problems else 0
