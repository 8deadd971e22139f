"""Choosing kappa without labels, by how far the outputs stay those of the BN network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_frn.layers import Prior, prior_of

from .detector import convert_detector
from .report import KAPPAS
from .trace import evaluating

# docs/results/convert.md: below it, AP without training was that of BN on both data sets.
TOLERANCE = 0.1


@dataclass(frozen=True)
class Agreement:
    """A kappa, and the relative difference of the outputs from BN's, mean over images."""

    kappa: float
    difference: float


@torch.no_grad()
def agreement(
    model: nn.Module, batches: Sequence[dict], norm_cfg: dict, size: Sequence[int]
) -> list[Agreement]:
    """Compare a BN detector with its conversions over :data:`KAPPAS`.

    The outputs are those of the dense head where there is one, and of the neck otherwise.

    Args:
        model: BN detector; unchanged.
        batches: Preprocessed batches with ``inputs`` and ``data_samples``.
        norm_cfg: Config of FRN.
        size: Height and width of the example input of the conversion.
    """
    with evaluating(model):
        expected = [_outputs(model, batch) for batch in batches]
    other = copy.deepcopy(model)
    convert_detector(other, norm_cfg, None, 1.0, size)
    priors = [m for m in other.modules() if isinstance(m, Prior)]
    found = []
    with evaluating(other):
        for kappa in KAPPAS:
            for prior in priors:
                prior.set(prior_of(kappa))
            pairs = zip(expected, (_outputs(other, batch) for batch in batches), strict=True)
            differences = [_difference(a, b) for a, b in pairs]
            found.append(Agreement(kappa, sum(differences) / len(differences)))
    return found


def choose_kappa(agreements: Sequence[Agreement]) -> float:
    """Return the smallest kappa whose difference is below the tolerance, else the largest."""
    fitting = [a.kappa for a in agreements if a.difference <= TOLERANCE]
    return min(fitting) if fitting else max(a.kappa for a in agreements)


def _outputs(model: nn.Module, batch: dict) -> list[Tensor]:
    # Proposals of a two-stage detector are ranked, so a small change reorders all that follows.
    if hasattr(model, 'roi_head'):
        return _tensors(model.extract_feat(batch['inputs']))
    return _tensors(model(batch['inputs'], batch['data_samples'], mode='tensor'))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value.float()] if value.is_floating_point() else []
    if isinstance(value, dict):
        value = list(value.values())
    return [t for v in value for t in _tensors(v)] if isinstance(value, (list, tuple)) else []


def _difference(expected: list[Tensor], found: list[Tensor]) -> float:
    """Norm of the difference over the norm around the mean, mean over outputs."""
    ratios = [
        ((a - b).norm() / (a - a.mean()).norm().clamp(min=1e-12)).item()
        for a, b in zip(expected, found, strict=True)
    ]
    return sum(ratios) / len(ratios)
