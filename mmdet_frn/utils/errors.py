"""Errors that the user can fix, and how the tools show them."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mmdet_frn.datasets import DatasetError

_DISK = {
    errno.ENOSPC: 'free some space',
    errno.EDQUOT: 'free some space',
    errno.EFBIG: 'raise the limit of file sizes (ulimit -f)',
    errno.EROFS: 'make it writable',
    errno.EACCES: 'make it accessible',
}


class UsageError(ValueError):
    """A wrong argument or config; the message is one line that names it and the remedy."""


@contextmanager
def one_line_errors(go_on: str = 'run the same command again to resume') -> Iterator[None]:
    """End the program without a traceback: ``error: ...``, status 2, or 130 for Ctrl-C.

    Args:
        go_on: What to do after an interrupt.
    """
    try:
        yield
    except (DatasetError, UsageError) as error:
        print(f'error: {error}', file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in _DISK:
            raise
        where = f'{error.filename}: ' if error.filename else ''
        print(
            f'error: {where}{error.strerror}; {_DISK[error.errno]}, then {go_on}', file=sys.stderr
        )
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f'\nstopped; {go_on}', file=sys.stderr)
        raise SystemExit(130) from None
