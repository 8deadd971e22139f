"""A lock that one process at a time holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import UsageError


@contextmanager
def locked(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock file ``path``; the system frees it however this process ends.

    Args:
        path: Lock file, created with its folder where it does not exist, and left there.
        refusal: The error where another process holds it.

    Raises:
        UsageError: another process holds it, or the file cannot be written.
    """
    try:
        held = FileLock(path).acquire(timeout=0)
    except Timeout:
        raise UsageError(refusal) from None
    except OSError as error:
        raise UsageError(f'cannot lock {path}: {error.strerror}; name another folder') from error
    with held:
        yield
