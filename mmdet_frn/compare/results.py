"""The result of a finished cell, as a small JSON file beside its checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

from mmdet_frn.utils.files import write_text_atomic

RESULT = 'result.json'
# The paper's three columns and the keys of CocoMetric.
METRICS = {'AP': 'coco/bbox_mAP', 'AP50': 'coco/bbox_mAP_50', 'AP75': 'coco/bbox_mAP_75'}


def write_result(folder: Path, metrics: dict[str, float], checkpoint: Path) -> None:
    """Keep the evaluation of ``checkpoint`` as the result of the cell in ``folder``."""
    # CocoMetric returns nothing at all where nothing was detected.
    metrics = dict.fromkeys(METRICS.values(), 0.0) | metrics
    result = {'metrics': metrics, 'checkpoint': checkpoint.name}
    write_text_atomic(folder / RESULT, json.dumps(result, indent=2) + '\n')


def read_result(folder: Path) -> dict | None:
    """Return the result of the cell in ``folder``, None while it is not finished."""
    path = folder / RESULT
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else None
