"""Finding the checkpoint to go on from, whatever moment the last run was killed at."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the last whole checkpoint in a work directory, None if there is none.

    MMEngine's ``last_checkpoint`` is empty if the run was killed while writing it, and names a
    path that a moved folder no longer has, so the files themselves are asked: a torch file is a
    zip archive whose directory comes last, which half a file lacks.
    """
    steps = {}
    for path in folder.glob('*.pth'):
        match = re.fullmatch(r'(?:iter|epoch)_(\d+)', path.stem)
        if match:
            steps[int(match[1])] = path
    for step in sorted(steps, reverse=True):
        if zipfile.is_zipfile(steps[step]):
            return steps[step]
    return None
