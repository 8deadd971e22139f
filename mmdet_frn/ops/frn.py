"""FRN and FRN+TLU as functions (Singh and Krishnan, CVPR 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from . import fused, reference
from .checks import check_arguments
from .library import is_compiled, runs_fused


def frn(x: Tensor, weight: Tensor, bias: Tensor, eps: float | Tensor = 1e-6) -> Tensor:
    """Filter Response Normalization, eq. (1)-(2): weight * x / sqrt(mean(x^2) + |eps|) + bias.

    The mean is over all spatial dimensions of one sample and channel, taken in fp32 for half
    inputs, which are widened before they are squared. Where the sum of squares of a feature map
    overflows (fp32: from |x| = 1.8e19 / sqrt(H*W) on), it counts as infinite: the result is the
    bias, as that of ``torch.nn.functional.rms_norm`` is 0, and no gradient goes to x, weight and
    eps.

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
    if not torch.jit.is_scripting():
        if has_torch_function_unary(x):
            return handle_torch_function(frn, (x,), x, weight, bias, eps)
        if isinstance(x, Tensor) and runs_fused('frn', x.device):
            return _fused(x, weight, bias, eps)
        check_arguments(x, dict(weight=weight, bias=bias), eps)
        return reference.frn(x, weight, bias, eps)
    return _scripted(x, weight, bias, eps, None, None)


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
    if not torch.jit.is_scripting():
        if has_torch_function_unary(x):
            return handle_torch_function(frn_tlu, (x,), x, weight, bias, tau, eps, residual)
        if isinstance(x, Tensor) and tau is not None and runs_fused('frn', x.device):
            return _fused(x, weight, bias, eps, tau, residual)
        check_arguments(x, dict(weight=weight, bias=bias, tau=tau), eps, residual)
        return reference.frn_tlu(x, weight, bias, tau, eps, residual)
    return _scripted(x, weight, bias, eps, tau, residual)


def _fused(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float | Tensor,
    tau: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """Call the op of csrc/frn.cpp, which checks its arguments; its eps stands in two of them."""
    op = torch.ops.mmdet_frn.frn.default
    try:
        if isinstance(eps, Tensor):
            return op(x, weight, bias, eps, 0.0, tau, residual)
        return op(x, weight, bias, None, eps, tau, residual)
    except RuntimeError as error:

        def on_reference() -> Tensor:
            params = {'weight': weight, 'bias': bias} | ({} if tau is None else {'tau': tau})
            check_arguments(x, params, eps, residual)
            return _on_reference(x, weight, bias, eps, tau, residual)

        tensors = {'weight': weight, 'bias': bias, 'tau': tau, 'residual': residual}
        return fused.recover(error, on_reference, tensors, eps)


def _scripted_op(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float | Tensor,
    tau: Tensor | None,
    residual: Tensor | None,
) -> Tensor:
    if isinstance(eps, Tensor):
        return torch.ops.mmdet_frn.frn(x, weight, bias, eps, 0.0, tau, residual)
    return torch.ops.mmdet_frn.frn(x, weight, bias, None, eps, tau, residual)


def _on_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float | Tensor,
    tau: Tensor | None,
    residual: Tensor | None,
) -> Tensor:
    if tau is None:
        return reference.frn(x, weight, bias, eps)
    return reference.frn_tlu(x, weight, bias, tau, eps, residual)


# What torch.jit.script compiles in the place of the functions above.
_scripted = _scripted_op if is_compiled() else _on_reference
