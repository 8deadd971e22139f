"""How a cell ended: its result as a small JSON file beside its checkpoints, or why it has none."""

from __future__ import annotations

import json
from pathlib import Path

from mmdet_frn.utils.files import write_text_atomic

RESULT = 'result.json'
_FAILURE = 'failure.txt'
# The paper's three columns and the keys of CocoMetric.
METRICS = {'AP': 'coco/bbox_mAP', 'AP50': 'coco/bbox_mAP_50', 'AP75': 'coco/bbox_mAP_75'}


def write_result(
    folder: Path, metrics: dict[str, float], checkpoint: Path, facts: dict | None = None
) -> None:
    """Keep the evaluation of ``checkpoint`` as the result of the cell in ``folder``.

    Args:
        folder: The cell's work directory.
        metrics: CocoMetric's.
        checkpoint: What was evaluated.
        facts: More to keep, such as the memory used. Default None.
    """
    # CocoMetric returns nothing at all where nothing was detected.
    metrics = dict.fromkeys(METRICS.values(), 0.0) | metrics
    result = {'metrics': metrics, 'checkpoint': checkpoint.name, **(facts or {})}
    write_text_atomic(folder / RESULT, json.dumps(result, indent=2) + '\n')


def read_result(folder: Path) -> dict | None:
    """Return the result of the cell in ``folder``, None while it is not finished."""
    path = folder / RESULT
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else None


def write_failure(folder: Path, reason: str | None) -> None:
    """Keep why the last run of the cell in ``folder`` failed; None forgets it."""
    if reason is None:
        (folder / _FAILURE).unlink(missing_ok=True)
    else:
        write_text_atomic(folder / _FAILURE, reason + '\n')


def read_failure(folder: Path) -> str | None:
    """Return why the last run of the cell in ``folder`` failed, None if it did not."""
    path = folder / _FAILURE
    return path.read_text(encoding='utf-8').strip() if path.is_file() else None
