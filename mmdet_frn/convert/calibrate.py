"""Choosing kappa for a detector on preprocessed batches of its dataset."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import BaseDetector

from .agreement import agreement
from .detector import convert_detector
from .report import Agreement


def detector_agreement(
    model: BaseDetector, batches: Sequence[dict], norm_cfg: dict, size: Sequence[int]
) -> list[Agreement]:
    """Compare a BN detector with its conversions, as :func:`agreement` does.

    The outputs are those of the dense head where there is one, and of the neck otherwise.

    Args:
        model: BN detector; unchanged.
        batches: Preprocessed batches with ``inputs`` and ``data_samples``.
        norm_cfg: Config of FRN.
        size: Height and width of the example input of the conversion.
    """
    return agreement(
        model,
        lambda copied: convert_detector(copied, norm_cfg, None, 1.0, size),
        [functools.partial(_outputs, batch=batch) for batch in batches],
    )


def _outputs(model: BaseDetector, batch: dict) -> Any:
    # Proposals of a two-stage detector are ranked, so a small change reorders all that follows.
    if hasattr(model, 'roi_head'):
        return model.extract_feat(batch['inputs'])
    return model(batch['inputs'], batch['data_samples'], mode='tensor')
