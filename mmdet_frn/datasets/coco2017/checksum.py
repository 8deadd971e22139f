"""The checksum of a large file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .meter import Meter


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal; COCO's largest takes a minute, hence the meter."""
    digest = hashlib.sha256()
    meter = Meter(f'checking {path.name}', path.stat().st_size)
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            meter.add(len(chunk))
    meter.close()
    return digest.hexdigest()
