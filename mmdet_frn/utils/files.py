"""Atomic file writes: a reader, or the next run, never sees half a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a sibling of ``path`` to write to, which replaces it unless the block raises."""
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``: write a sibling, flush it to the disk, rename it.

    Raises:
        OSError: the disk is full or read-only; ``path`` is as before and no sibling is left.
    """
    with replacing(path) as part, part.open('wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    # Without this a crash of the machine may undo the rename.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text_atomic(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` as :func:`write_bytes_atomic` does."""
    write_bytes_atomic(path, text.encode('utf-8'))
