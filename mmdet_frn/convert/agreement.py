"""How far the outputs of a converted network are from those of BN, over kappa, without labels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_frn.layers import Prior, prior_of

from .report import KAPPAS, Agreement
from .trace import evaluating

# docs/results/convert.md: below it, AP without training was that of BN on both data sets.
TOLERANCE = 0.1


@torch.no_grad()
def agreement(
    model: nn.Module,
    convert_copy: Callable[[nn.Module], Any],
    runs: Sequence[Callable[[nn.Module], Any]],
) -> list[Agreement]:
    """Compare a BN model with its conversions over :data:`KAPPAS`, in evaluation mode.

    Args:
        model: BN model; unchanged.
        convert_copy: Converts a copy of it in place, with any finite kappa above 0.
        runs: Each runs a model on an input and returns outputs to compare, as tensors in any
            nesting of sequences and dictionaries.
    """
    with evaluating(model):
        expected = [_tensors(run(model)) for run in runs]
    other = copy.deepcopy(model)
    convert_copy(other)
    priors = [m for m in other.modules() if isinstance(m, Prior)]
    found = []
    with evaluating(other):
        for kappa in KAPPAS:
            for prior in priors:
                prior.set(prior_of(kappa))
            pairs = zip(expected, (_tensors(run(other)) for run in runs), strict=True)
            differences = [_difference(a, b) for a, b in pairs]
            found.append(Agreement(kappa, sum(differences) / len(differences)))
    return found


def choose_kappa(agreements: Sequence[Agreement]) -> float:
    """Return the smallest kappa whose difference is below the tolerance, else the largest."""
    fitting = [a.kappa for a in agreements if a.difference <= TOLERANCE]
    return min(fitting) if fitting else max(a.kappa for a in agreements)


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
