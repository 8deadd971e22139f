"""Reading what MMEngine's LocalVisBackend logs while a cell trains."""

from __future__ import annotations

import json
from pathlib import Path


def last_step(folder: Path) -> int:
    """Return the last training step that a work directory has logged, 0 before the first."""
    train, _ = read_scalars(folder)
    return max(train, default=0)


def read_scalars(folder: Path) -> tuple[dict[int, dict], dict[int, dict]]:
    """Read the scalars of all runs in a work directory.

    A resumed run repeats the steps since its checkpoint; the later record of a step counts.

    Args:
        folder: Work directory with ``<timestamp>/vis_data/scalars.json`` of each run.

    Returns:
        Records of training and of validation, each a dict from the step to the logged scalars.
    """
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text(encoding='utf-8').splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a killed run, or one that is being written
            (train if 'loss' in record else val)[record['step']] = record
    return dict(sorted(train.items())), dict(sorted(val.items()))


def training_seconds(folder: Path) -> float:
    """Return about how long the logged iterations took, without evaluation and repeated ones."""
    train, _ = read_scalars(folder)
    seconds, before = 0.0, 0
    for step, record in train.items():
        # A record has the mean time of its last iterations (MMEngine: 10), taken for all since the
        # record before.
        seconds += record['time'] * (step - before)
        before = step
    return seconds
