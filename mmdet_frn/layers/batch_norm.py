"""FRN from batch normalization in closed form: the same function where nu2 is the population's."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .frn import FRN

# Above this ratio of sqrt(E[x^2]) to the deviation a channel counts as constant: its weight would
# multiply every error of nu2 by as much.
MAX_RATIO = 100.0


class BatchNormConverted(UserWarning):
    """A checkpoint's BN entries were loaded into FRN layers, which converted them."""


class FRNWeights(NamedTuple):
    """What makes a FRN of a BN, all (C,): weight, bias, p, and which channels were clamped."""

    weight: Tensor
    bias: Tensor
    nu2: Tensor
    clamped: Tensor


def frn_from_batch_norm(
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    max_ratio: float = MAX_RATIO,
) -> FRNWeights:
    """Weights of the FRN that equals a BN in evaluation mode where nu2 = p = mean^2 + var + eps.

    weight = gamma * sqrt(p / (var + eps)), bias = beta - gamma * mean / sqrt(var + eps), computed
    in fp64. With a prior of 1 the two are equal for every input.

    Args:
        gamma: BN's weight (C,).
        beta: BN's bias (C,).
        mean: Running mean (C,).
        var: Running variance (C,).
        eps: BN's eps.
        max_ratio: Limit of sqrt(p / (var + eps)). A channel beyond it gets the variance at the
            limit: it keeps its output at the mean, beta, and varies less around it. Default 100.

    Returns:
        Tensors in gamma's dtype, p in fp32 at least, and a bool one.
    """
    dtype = gamma.dtype
    gamma, beta, mean, var = (t.detach().double() for t in (gamma, beta, mean, var))
    var = var + eps
    clamped = mean.square() + var > max_ratio**2 * var
    if clamped.any():
        var = torch.where(clamped, mean.square() / (max_ratio**2 - 1), var)
    nu2 = mean.square() + var
    weight = gamma * (nu2 / var).sqrt()
    bias = beta - gamma * mean / var.sqrt()
    wide = torch.promote_types(dtype, torch.float32)
    return FRNWeights(weight.to(dtype), bias.to(dtype), nu2.to(wide), clamped)


def convert_entries(layer: FRN, state_dict: dict, prefix: str) -> None:
    """Replace a BN's entries for ``layer`` in a state dict by those of the FRN it becomes.

    All of them or, where one is missing or has another shape, none, which loading then reports.

    Args:
        layer: FRN with ``batch_norm_eps``, which no state dict has.
        state_dict: Changed in place.
        prefix: The layer's name and a dot.
    """
    names = ('weight', 'bias', 'running_mean', 'running_var')
    found: list[Any] = [state_dict.get(prefix + name) for name in names]
    if any(t is None or t.shape != layer.weight.shape for t in found):
        return
    exact = layer.prior is not None and layer.prior.initial == 1
    gamma, beta, mean, var = found
    given = frn_from_batch_norm(
        gamma, beta, mean, var, layer.batch_norm_eps, math.inf if exact else MAX_RATIO
    )
    for name in (*names, 'num_batches_tracked'):
        state_dict.pop(prefix + name, None)
    # What BN has not, as tau or eps_l, stays as it is.
    kept = {name: value.detach() for name, value in layer.state_dict().items()}
    kept |= {'weight': given.weight, 'bias': given.bias}
    if layer.prior is not None:
        kept['prior.nu2'] = given.nu2
    state_dict.update({prefix + name: value for name, value in kept.items()})
    warnings.warn(
        'the BN layers of a checkpoint were converted to FRN as they were loaded',
        BatchNormConverted,
        stacklevel=3,
    )
