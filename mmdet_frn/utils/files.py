"""Writing files so that a reader, or the next run, never meets half of one."""

from __future__ import annotations

import os
from pathlib import Path


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` by renaming a finished sibling, replacing what was there."""
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    part.write_bytes(content)
    part.replace(path)


def write_text_atomic(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as :func:`write_bytes_atomic` does."""
    write_bytes_atomic(path, text.encode('utf-8'))
