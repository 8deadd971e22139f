"""Unpacking a zip file so that a kill leaves no half of a file, and nothing is overwritten."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from .errors import FetchError
from .meter import Meter


def size_to_unpack(archive: Path, root: Path) -> int:
    """Return the size of those of an archive's members that ``root`` does not have."""
    with _opened(archive) as file:
        members = file.infolist()
    return sum(info.file_size for info in members if not (root / info.filename).exists())


def extract(archive: Path, root: Path) -> None:
    """Unpack ``archive`` into ``root``; members that are there already are passed over.

    Each is written aside and renamed when its checksum (CRC-32) is right, so that a file under its
    own name is a whole one, and a second run goes on where a killed one stopped.

    Args:
        archive: The zip file.
        root: Where its members go.

    Raises:
        FetchError: the archive is damaged, has members that would lie outside of ``root`` (then
            nothing is written), or a file there differs from its member and was left as it is.
    """
    differing = []
    with _opened(archive) as file:
        members = [info for info in file.infolist() if not info.is_dir()]
        for info in members:
            _check_name(info, archive)
        meter = Meter(f'unpacking {archive.name}', sum(info.file_size for info in members))
        for info in members:
            target = root / info.filename
            if not target.exists():
                _write(file, info, target, archive)
            elif not _is_same(target, info):
                differing.append(info.filename)
            meter.add(info.file_size)
        meter.close()
    if differing:
        more = f' and {len(differing) - 3} more' if len(differing) > 3 else ''
        raise FetchError(
            f'{", ".join(differing[:3])}{more} of {root} differ from those of {archive.name}, and '
            f'were left as they are; move them away and run the same command again'
        )


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise _damaged(archive, error) from None


def _damaged(archive: Path, error: Exception) -> FetchError:
    return FetchError(
        f'{archive} is damaged: {error}; remove it and run the same command again to fetch it anew'
    )


def _check_name(info: zipfile.ZipInfo, archive: Path) -> None:
    # The name as it stands in the file: zipfile replaces what its system would not like.
    path = PurePosixPath(info.orig_filename.replace('\\', '/'))
    is_link = stat.S_ISLNK(info.external_attr >> 16)
    if path.is_absolute() or '..' in path.parts or ':' in path.parts[0] or is_link:
        what = 'is a link' if is_link else 'leads out of the folder'
        raise FetchError(
            f'{archive} is refused, as its member {info.orig_filename!r} {what}; nothing was '
            f'unpacked: remove it, and check --base-url'
        )


def _write(file: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, archive: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f'.{target.name}.part')
    try:
        with file.open(info) as source, unfinished.open('wb') as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        unfinished.unlink(missing_ok=True)
        raise _damaged(archive, error) from None
    unfinished.rename(target)


def _is_same(path: Path, info: zipfile.ZipInfo) -> bool:
    if not path.is_file() or path.stat().st_size != info.file_size:
        return False
    crc = 0
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            crc = zlib.crc32(chunk, crc)
    return crc == info.CRC
