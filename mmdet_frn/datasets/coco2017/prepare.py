"""What ``tools/prepare_coco.py`` does: check a folder of COCO 2017, and fetch what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mmdet_frn.utils.errors import UsageError

from .deep import find_bad_images
from .errors import FetchError
from .fetch import fetch
from .table import COCO2017, CocoTable
from .tree import TreeReport, check_tree


def prepare_coco(
    root: str | Path,
    splits: Sequence[str] = ('train', 'val'),
    *,
    deep: bool = False,
    workers: int | None = None,
    download: bool = False,
    base_url: str | None = None,
    keep_zips: bool = False,
    table: CocoTable | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Check the splits of COCO below ``root``, and with ``download`` fetch what is missing.

    Args:
        root: Folder of the set.
        splits: 'train' and 'val' (default both).
        deep: Decode every image. Default False.
        workers: Processes that decode. Default one a core.
        download: Fetch what is missing; nothing that is there is overwritten. Default False.
        base_url: Server. Default the table's.
        keep_zips: Keep the archives. Default False.
        table: What the set consists of. Default COCO 2017.
        say: Prints a line. Default ``print``.

    Returns:
        Exit status: 0, or 1 if something is missing, bad, or could not be fetched.

    Raises:
        UsageError: an argument is wrong, or another process fetches into ``root``.
    """
    table = table or COCO2017
    root = Path(root)
    _check_arguments(root, splits, deep, workers, download, base_url, keep_zips, table)
    report = check_tree(root, table, splits)
    fetched = set()
    # Twice at most: the annotations, once there, may show that images are missing.
    while download and (archives := [a for a in report.archives if a not in fetched]):
        try:
            fetch(archives, root, base_url or table.base_url, keep_zips, say)
        except FetchError as error:
            say(f'error: {error}')
            return 1
        except OSError as error:
            say(f'error: {error}; mend that and run the same command again to go on')
            return 1
        fetched.update(archives)
        report = check_tree(root, table, splits)
    if deep:
        report.problems += find_bad_images(report.images, workers)
    return _tell(report, root, deep, say)


def _tell(report: TreeReport, root: Path, deep: bool, say: Callable[[str], None]) -> int:
    for fact in report.facts:
        say(f'good: {fact}')
    for problem in report.problems:
        say(f'bad: {problem}')
    if report.problems:
        count = len(report.problems)
        say(f'{root}: {count} problem{"s" if count > 1 else ""}')
        return 1
    say(f'{root}: complete' + (', and every image decodes' if deep else ''))
    return 0


def _check_arguments(
    root: Path,
    splits: Sequence[str],
    deep: bool,
    workers: int | None,
    download: bool,
    base_url: str | None,
    keep_zips: bool,
    table: CocoTable,
) -> None:
    unknown = [name for name in splits if name not in table.splits]
    if unknown or not splits:
        raise UsageError(f'--splits must be of {", ".join(table.splits)}, but has {unknown}')
    if workers is not None and workers < 1:
        raise UsageError(f'--workers must be at least 1, but is {workers}')
    if workers is not None and not deep:
        raise UsageError(f'--workers {workers} needs --deep; add it or leave both out')
    if not download and (base_url is not None or keep_zips):
        flag = '--keep-zips' if keep_zips else f'--base-url {base_url}'
        raise UsageError(f'{flag} needs --download; add it or leave both out')
    if base_url is not None:
        parts = urlsplit(base_url)
        if parts.scheme not in ('http', 'https') or not parts.netloc:
            raise UsageError(f'--base-url must start with http:// or https://, but is {base_url}')
    if root.exists() and not root.is_dir():
        raise UsageError(f'--root {root} is no folder; name one')
    if not download and not root.exists():
        raise UsageError(
            f'--root {root} does not exist; name the folder of COCO, or add --download'
        )
