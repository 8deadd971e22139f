"""FRN and FRN+TLU as functions (Singh and Krishnan, CVPR 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from . import reference
from .checks import check_eps, check_input, check_per_channel, check_residual
from .library import runs_fused


def frn(x: Tensor, weight: Tensor, bias: Tensor, eps: float | Tensor = 1e-6) -> Tensor:
    """Filter Response Normalization, eq. (1)-(2): weight * x / sqrt(mean(x^2) + |eps|) + bias.

    The mean is over all spatial dimensions of one sample and channel, taken in fp32 for half
    inputs, which are widened before they are squared.

    Args:
        x: Input (N, C, *) with zero to three spatial dimensions; floating point. N may be 0.
        weight: gamma of eq. (2), (C,).
        bias: beta of eq. (2), (C,).
        eps: Added to the mean square as its absolute value (Listing 1): a number, or a tensor of
            one element or of (C,), which then gets a gradient (section 3.3). Default 1e-6.

    Returns:
        Tensor of x's shape and dtype.

    Raises:
        TypeError: x or a parameter is not a floating point tensor, or eps is neither a number
            nor a tensor.
        ValueError: a shape does not fit x, the spatial extent is empty, devices differ, or eps is
            not finite.
    """
    check_input('x', x)
    check_per_channel('weight', weight, x)
    check_per_channel('bias', bias, x)
    check_eps(eps, x)
    if runs_fused(x.device):
        return _fused(x, weight, bias, eps)
    return reference.frn(x, weight, bias, eps)


def frn_tlu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    tau: Tensor,
    eps: float | Tensor = 1e-6,
    residual: Tensor | None = None,
) -> Tensor:
    """FRN followed by the Thresholded Linear Unit, eq. (1)-(3): max(frn(x) [+ residual], tau).

    At a tie the gradient goes to the first argument and none to tau (eq. 4).

    Args:
        x: Input (N, C, *), see :func:`frn`.
        weight: gamma of eq. (2), (C,).
        bias: beta of eq. (2), (C,).
        tau: Threshold of eq. (3), (C,).
        eps: See :func:`frn`. Default 1e-6.
        residual: Added before the threshold, of x's shape and dtype. Default None.

    Returns:
        Tensor of x's shape and dtype.

    Raises:
        TypeError, ValueError: See :func:`frn`; also for a residual that does not match x.
    """
    check_input('x', x)
    check_per_channel('weight', weight, x)
    check_per_channel('bias', bias, x)
    check_per_channel('tau', tau, x)
    check_eps(eps, x)
    if residual is not None:
        check_residual(residual, x)
    if runs_fused(x.device):
        return _fused(x, weight, bias, eps, tau, residual)
    return reference.frn_tlu(x, weight, bias, tau, eps, residual)


def _fused(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float | Tensor,
    tau: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """Call the op of csrc/frn.cpp; its eps is a tensor or a number, in two arguments."""
    op = torch.ops.mmdet_frn.frn.default
    if isinstance(eps, Tensor):
        return op(x, weight, bias, eps, 0.0, tau, residual)
    return op(x, weight, bias, None, eps, tau, residual)
