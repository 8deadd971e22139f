"""Downloading one large file: broken connections, restarts and changed files are got over."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .checksum import sha256_of
from .errors import FetchError
from .meter import Meter, format_bytes
from .part import Part

_CHUNK = 1 << 18
_LONGEST_WAIT = 60.0


class _BrokenError(Exception):
    """An attempt that ended before the file did, and why."""


def download(
    url: str,
    path: Path,
    size: int,
    sha256: str | None = None,
    *,
    retries: int = 5,
    wait: float = 1.0,
    timeout: float = 60.0,
    say: Callable[[str], None] = print,
) -> None:
    """Download ``url`` to ``path``, going on from what an earlier run left in ``<path>.part``.

    The server is asked for the rest only (Range) and only if the file is still the one that was
    begun (If-Range); a server that sends all of it is read from the start. ``path`` appears when
    the file is complete and its checksum right.

    Args:
        url: Address.
        path: Where the file goes; must not exist.
        size: Its size in bytes.
        sha256: Its checksum in hexadecimal; None leaves the content unchecked.
        retries: Attempts in a row that may bring nothing new. Default 5.
        wait: Seconds before the first of them; doubled for each further. Default 1.
        timeout: Seconds of silence after which a connection counts as broken. Default 60.
        say: Prints a line. Default ``print``.

    Raises:
        FetchError: the server does not have the file, has another, or does not answer.
    """
    part = Part(path, url, pasted=sha256 is not None)
    in_pieces = _fetch(part, size, retries, wait, timeout, say)
    while sha256 is not None:
        found = sha256_of(part.file)
        if found == sha256:
            break
        part.discard()
        if not in_pieces:
            raise FetchError(
                f'{url} has SHA-256 {found}, not {sha256}, and was not kept; try another time, or '
                f'name another server with --base-url'
            )
        say(f'{path.name}: the pieces do not make the file (SHA-256 {found}); starting again')
        in_pieces = _fetch(part, size, retries, wait, timeout, say)
    part.file.rename(path)
    part.notes.unlink(missing_ok=True)


def _fetch(
    part: Part, size: int, retries: int, wait: float, timeout: float, say: Callable[[str], None]
) -> bool:
    """Bring the part to its full size; return whether it was put together from pieces."""
    if part.size() > size:
        part.discard()
    furthest = part.size()
    if furthest:
        say(f'{part.name}: going on from {format_bytes(furthest)}')
    in_pieces = furthest > 0
    failures = 0
    meter = Meter(part.name, size, furthest)
    while part.size() < size:
        in_pieces = in_pieces or part.size() > 0
        try:
            _attempt(part, size, timeout, meter)
            reason = 'the connection ended early'
        except _BrokenError as error:
            reason = str(error)
        finally:
            meter.close()
        if part.size() >= size:
            break
        # A server that breaks off at the same place each time, and ignores Range, gets nowhere.
        failures = 0 if part.size() > furthest else failures + 1
        furthest = max(furthest, part.size())
        if failures > retries:
            raise FetchError(
                f'{part.url}: {reason}, {failures} times in a row; {format_bytes(part.size())} are '
                f'kept in {part.file}: run the same command again to go on, or name another '
                f'server with --base-url'
            )
        pause = min(wait * 2 ** max(failures - 1, 0), _LONGEST_WAIT)
        say(f'{part.name}: {reason}; trying again in {pause:.0f} s')
        time.sleep(pause)
    return in_pieces


def _attempt(part: Part, size: int, timeout: float, meter: Meter) -> None:
    """Fetch as much as one connection brings."""
    offset = part.size()
    request = urllib.request.Request(part.url, headers={'User-Agent': 'mmdet_frn'})
    if offset:
        request.add_header('Range', f'bytes={offset}-')
        if part.version:
            request.add_header('If-Range', part.version)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            if not _goes_on(response, part, offset, size):
                with _storing(part):
                    part.begin(_version(response.headers))
                offset = 0
            meter.restart(offset)
            _copy(response, part, size, meter)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            part.discard()
            raise _BrokenError('the server has no rest of the file, starting again') from None
        if error.code in (408, 429) or error.code >= 500:
            raise _BrokenError(f'HTTP status {error.code} {error.reason}') from None
        raise FetchError(
            f'{part.url}: HTTP status {error.code} {error.reason}; check --base-url'
        ) from None
    except FetchError:
        raise
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, 'reason', None) or error
        reason = getattr(cause, 'strerror', None) or str(cause) or type(cause).__name__
        raise _BrokenError(reason) from None


def _goes_on(response: http.client.HTTPResponse, part: Part, offset: int, size: int) -> bool:
    """Whether the answer is the rest of the file; raise where it is another file's."""
    total = response.headers.get('Content-Length')
    if response.status == 206:
        found = re.fullmatch(
            r'bytes (\d+)-\d+/(\d+|\*)', response.headers.get('Content-Range', '').strip()
        )
        if found is None or int(found[1]) != offset:
            part.discard()
            raise _BrokenError(
                'the server sent another piece than it was asked for, starting again'
            )
        total = found[2]
    if total is not None and total.isdigit() and int(total) != size:
        kind = response.headers.get_content_type()
        raise FetchError(
            f'{part.url} has {total} bytes ({kind}), not {size}: it is another file; check '
            f'--base-url'
        )
    return response.status == 206


def _version(headers: http.client.HTTPMessage) -> str | None:
    """Return what If-Range can name; weak ETags it cannot."""
    etag = headers.get('ETag')
    return etag if etag and not etag.startswith('W/') else headers.get('Last-Modified')


def _copy(response: http.client.HTTPResponse, part: Part, size: int, meter: Meter) -> None:
    # Unbuffered, so that a kill loses no more than what is under way.
    with _storing(part):
        file = part.file.open('ab', buffering=0)
    with file:
        have = part.size()
        while chunk := response.read1(_CHUNK):
            have += len(chunk)
            if have > size:
                part.discard()
                raise FetchError(
                    f'{part.url} has more than {size} bytes: it is another file; check --base-url'
                )
            with _storing(part):
                _write_all(file, chunk)
            meter.add(len(chunk))


def _write_all(file: BinaryIO, chunk: bytes) -> None:
    # An unbuffered file may take a part of it only, on a disk that is about to be full.
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def _storing(part: Part) -> Iterator[None]:
    """Tell the disk's errors from the network's, which are tried again."""
    try:
        yield
    except OSError as error:
        raise FetchError(
            f'{part.file} cannot be written: {error.strerror}; mend that, and run the same command '
            f'again to go on'
        ) from error
