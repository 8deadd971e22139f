"""A lock that one process at a time holds."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UsageError


@contextmanager
def locked(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock file ``path``; the system frees it however this process ends.

    Args:
        path: Lock file, created where it is not there; its folder must exist.
        refusal: The error where another process holds it.

    Raises:
        UsageError: another process holds it.
    """
    with path.open('a') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(refusal) from None
        yield
