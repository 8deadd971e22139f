"""Fetching and unpacking the archives that a folder lacks, one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mmdet_frn.utils.lock import locked

from .download import download, sha256_of
from .errors import FetchError
from .extract import extract, size_to_unpack
from .meter import format_bytes
from .table import Archive

_LOCK = '.prepare_coco.lock'


def fetch(
    archives: Sequence[Archive],
    root: Path,
    base_url: str,
    keep_zips: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Download archives to ``root`` and unpack them there, going on where a killed run stopped.

    Archives that were downloaded here are removed when unpacked; one that somebody else put there
    is used, and left.

    Args:
        archives: What to fetch.
        root: Folder, created where it does not exist.
        base_url: Where the archives' paths start.
        keep_zips: Keep all archives. Default False.
        say: Prints a line. Default ``print``.

    Raises:
        FetchError: there is too little room, or an archive cannot be had or unpacked.
        UsageError: another process fetches into ``root``.
    """
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / _LOCK, f'another process fetches into {root}; wait for it to end'):
        _check_space(archives, root, keep_zips)
        for archive in archives:
            path = root / archive.name
            # Tells our archives from those that somebody put there.
            mark = root / f'.{archive.name}.fetched'
            if path.exists():
                _check_file(archive, path, say)
            else:
                url = f'{base_url.rstrip("/")}/{archive.path}'
                say(f'{archive.name}: {format_bytes(archive.size)} from {url}')
                download(url, path, archive.size, archive.sha256, say=say)
                mark.touch()
            _check_room(root, size_to_unpack(path, root), archive.name)
            extract(path, root)
            if mark.exists() and not keep_zips:
                path.unlink()
            mark.unlink(missing_ok=True)


def _check_file(archive: Archive, path: Path, say: Callable[[str], None]) -> None:
    """Check an archive that is there already."""
    size = path.stat().st_size
    if size != archive.size:
        remedy = (
            f'rename it to {path.name}.part to have it completed' if size < archive.size else ''
        )
        raise FetchError(
            f'{path} has {size} bytes, not {archive.size}; {remedy or "move it away"}, and run the '
            f'same command again'
        )
    say(f'{archive.name}: using {path}')
    if archive.sha256 is not None:
        found = sha256_of(path)
        if found != archive.sha256:
            raise FetchError(
                f'{path} has SHA-256 {found}, not {archive.sha256}; move it away and run the same '
                f'command again'
            )


def _check_space(archives: Sequence[Archive], root: Path, keep_zips: bool) -> None:
    """Raise where the disk would be full in the end, or at any time before."""
    peak = used = 0
    for archive in archives:
        there = root / archive.name
        for path in (there, root / f'{archive.name}.part'):
            used -= path.stat().st_size if path.exists() else 0
        used += archive.size + max(0, archive.unpacked - _size_of_files(archive, root))
        peak = max(peak, used)
        if not keep_zips and not there.exists():
            used -= archive.size
    names = ', '.join(archive.name for archive in archives)
    _check_room(root, peak, f'{names} and what is in them')


def _check_room(root: Path, need: int, what: str) -> None:
    free = shutil.disk_usage(root).free
    if need > free:
        raise FetchError(
            f'{what} need {format_bytes(need)} more in {root}, but {format_bytes(free)} are free; '
            f'make room, or name another folder with --root'
        )


def _size_of_files(archive: Archive, root: Path) -> int:
    """Return the size of what an earlier run unpacked of an archive."""
    if archive.folder is None:
        return 0
    return sum(path.stat().st_size for path in (root / archive.folder).glob('*') if path.is_file())
