"""Atomic file writes: a reader, or the next run, never sees half a file."""

from __future__ import annotations

import os
from pathlib import Path


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``: write a sibling, flush it to the disk, rename it.

    Raises:
        OSError: the disk is full or read-only; ``path`` is as before and no sibling is left.
    """
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        with part.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    # Without this a crash of the machine may undo the rename.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text_atomic(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` as :func:`write_bytes_atomic` does."""
    write_bytes_atomic(path, text.encode('utf-8'))
