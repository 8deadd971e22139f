"""Downloading and unpacking archives; both resume, check what they write and overwrite nothing."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from .table import Archive

_AGAIN = 'run the same command again to resume'
# Without --retry, which would throw away what came before a connection stalled.
_CURL = (
    'curl --fail --location --continue-at - --connect-timeout 60 --speed-limit 1 --speed-time 60 '
    '--write-out %{http_code}'
)
_FATAL = {3: 'bad URL', 22: 'HTTP error', 23: 'cannot write', 63: 'another file: it is too large'}
_NO_RANGES = 33
_BUSY = ('408', '429', '500', '502', '503', '504')
_ATTEMPTS = 5


class DownloadError(OSError):
    """An archive that cannot be downloaded or unpacked; one line with the reason and the remedy."""


def download(archives: Sequence[Archive], root: Path, base_url: str) -> None:
    """Download archives into ``root`` and unpack them there; DownloadError where that fails.

    An archive is ``<name>.zip.part`` until it is unpacked, and removed then. A ``<name>.zip`` that
    somebody put into ``root`` is used and left.
    """
    need = sum(archive.size + archive.unpacked for archive in archives)
    for stem in (Path(archive.path).stem for archive in archives):
        there = [*root.glob(f'{stem}.zip*'), *root.glob(f'{stem}/*')]
        need -= sum(path.stat().st_size for path in there)
    free = shutil.disk_usage(root).free
    if need > free:
        raise DownloadError(
            f'{root} has {free / 1e9:.1f} GB free, archives and images need {need / 1e9:.1f}; make '
            f'room, or name another folder with --root'
        )
    for archive in archives:
        own = root / Path(archive.path).name
        part = own.with_suffix('.zip.part')
        if own.exists():
            unpack(own, root)
        else:
            fetch(f'{base_url.rstrip("/")}/{archive.path}', part, archive)
            unpack(part, root)
            part.unlink()


def fetch(url: str, part: Path, archive: Archive) -> None:
    """Download an archive, resuming from what ``part`` has of it; DownloadError if that fails."""
    failures = 0
    fresh = not part.exists()
    while True:
        have = _size(part)
        print(f'{url}: {have / 1e6:.1f} of {archive.size / 1e6:.1f} MB are here', flush=True)
        options = ['--max-filesize', str(archive.size), '--output', str(part)]
        status, http_status = 0, ''
        if have < archive.size:
            curl = [*_CURL.split(), *options, url]
            done = subprocess.run(
                curl, stdout=subprocess.PIPE, text=True, preexec_fn=_end_with_parent
            )
            status, http_status = done.returncode, done.stdout
        if status == 0 and _size(part) == archive.size and _sha256(part) == archive.sha256:
            return
        if status in _FATAL and http_status not in _BUSY:
            raise DownloadError(f'{url}: {_FATAL[status]}; see above, and check --base-url')
        if status in (0, _NO_RANGES):
            # Complete and wrong, or to be had from the start alone.
            part.unlink()
            if status == 0 and fresh:
                raise DownloadError(f'{url} is not the released file; check --base-url')
            print('the pieces do not fit together; starting again', flush=True)
        fresh = not part.exists()
        failures = 1 if _size(part) > have else failures + 1
        if failures > _ATTEMPTS:
            raise DownloadError(f'{url}: curl failed with status {status}; {_AGAIN}')
        time.sleep(2**failures if status else 0)


def _end_with_parent() -> None:
    # A curl that outlives a killed run would write into the file of the next one.
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    print(f'checking {path.name}', flush=True)  # nothing else moves meanwhile
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def unpack(archive: Path, root: Path) -> None:
    """Unpack a zip file, passing over what ``root`` has; DownloadError if it is damaged.

    Each file is written aside and renamed when its checksum (CRC-32) is right, so a file under its
    own name is complete.
    """
    aside = root / '.unpacking'
    try:
        with zipfile.ZipFile(archive) as file:
            for info in tqdm(file.infolist(), f'unpacking {archive.name}', unit='files'):
                if not info.is_dir() and not (root / info.filename).exists():
                    # zipfile takes what would lead out of the folder off the name.
                    written = Path(file.extract(info, aside))
                    target = root / written.relative_to(aside)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    written.rename(target)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DownloadError(
            f'{archive} is damaged: {error}; rename it to {archive.stem}.zip.part if it is '
            f'incomplete, else remove it, and {_AGAIN}'
        ) from None
    shutil.rmtree(aside, ignore_errors=True)
