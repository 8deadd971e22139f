"""What there is of a file that is being downloaded."""

from __future__ import annotations

import json
from pathlib import Path

from mmdet_frn.utils.files import write_text_atomic


class Part:
    """A file under way, ``<path>.part``, and beside it which version of it the server was sending.

    Args:
        path: Where the file is to go.
        url: Where it comes from.
        pasted: Whether a piece from another address will do. It does where the checksum of the
            whole has the last word.
    """

    def __init__(self, path: Path, url: str, pasted: bool) -> None:
        self.name = path.name
        self.url = url
        self.file = path.with_name(f'{path.name}.part')
        self.notes = path.with_name(f'{path.name}.part.json')
        found = self._read_notes()
        if self.size() and not pasted and found.get('url') != url:
            self.discard()
        self.version = found.get('version') if found.get('url') == url else None

    def _read_notes(self) -> dict:
        try:
            found = json.loads(self.notes.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def size(self) -> int:
        """Return how many bytes are there."""
        try:
            return self.file.stat().st_size
        except FileNotFoundError:
            return 0

    def begin(self, version: str | None) -> None:
        """Start from nothing with the version that the server names."""
        self.discard()
        self.version = version
        write_text_atomic(self.notes, json.dumps(dict(url=self.url, version=version)))

    def discard(self) -> None:
        """Remove what is there."""
        self.file.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
        self.version = None
