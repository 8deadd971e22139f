"""Normalisation over groups of channels with the activation after it, as one function."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from . import fused, reference
from .checks import check_group_arguments
from .library import has_op, runs_fused

# The arguments of group_norm.
_Args = tuple[Tensor, int, Tensor, Tensor, float, bool, Tensor | None, bool, Tensor | None]


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float = 1e-5,
    centered: bool = True,
    tau: Tensor | None = None,
    relu: bool = False,
    residual: Tensor | None = None,
) -> Tensor:
    """Group normalisation: act(weight * (x - mean) / sqrt(mean((x - mean)^2) + eps) + bias).

    Means are over a group's channels and all spatial dimensions of one sample, taken in fp32 for
    half inputs. GN and, with one group, LN over (C, *); with C groups IN (Wu and He 2018, eq. 1-6).
    Without the mean (``centered=False``) GFRN, and with one group LFRN (Singh and Krishnan 2020,
    section 4.2). The gradient at a threshold is that of the activation alone: at y = tau it goes to
    y, at y = 0 of a ReLU nowhere.

    Args:
        x: Input (N, C, *) with zero to three spatial dimensions; floating point. N may be 0.
        num_groups: Groups of C / num_groups neighbouring channels.
        weight: Scale (C,).
        bias: Shift (C,).
        eps: Added to the variance or the mean square. Default 1e-5.
        centered: Subtract the mean. Default True.
        tau: Threshold (C,) of a TLU that follows. Default None.
        relu: Whether a ReLU follows; not together with ``tau``. Default False.
        residual: Added before the activation, of x's shape and dtype. Default None.

    Returns:
        Tensor of x's shape and dtype.

    Raises:
        TypeError: an argument is not a floating point tensor, or eps is not a number.
        ValueError: a shape does not fit x, num_groups does not divide C, the spatial extent is
            empty, eps is negative or not finite, devices differ, or tau and relu are both given.
    """
    if not torch.jit.is_scripting():
        args = (x, num_groups, weight, bias, eps, centered, tau, relu, residual)
        if has_torch_function_unary(x):
            return handle_torch_function(group_norm, (x,), *args)
        if isinstance(x, Tensor) and runs_fused('group_norm', x.device):
            return _fused(args)
        return _on_reference(args)
    return _scripted(x, num_groups, weight, bias, eps, centered, tau, relu, residual)


def _on_reference(args: _Args) -> Tensor:
    x, num_groups, weight, bias, eps, _, tau, relu, residual = args
    check_group_arguments(x, num_groups, weight, bias, eps, tau, relu, residual)
    return reference.group_norm(*args)


def _fused(args: _Args) -> Tensor:
    """Call the op of csrc/group_norm.cpp, which checks its arguments."""
    x, num_groups, weight, bias, eps, centered, tau, relu, residual = args
    op = torch.ops.mmdet_frn.group_norm.default
    try:
        return op(x, weight, bias, num_groups, eps, centered, tau, relu, residual)
    except RuntimeError as error:
        tensors = {'weight': weight, 'bias': bias, 'tau': tau, 'residual': residual}
        return fused.recover(error, lambda: _on_reference(args), tensors, eps)


def _scripted_op(
    x: Tensor,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    centered: bool,
    tau: Tensor | None,
    relu: bool,
    residual: Tensor | None,
) -> Tensor:
    return torch.ops.mmdet_frn.group_norm(
        x, weight, bias, num_groups, eps, centered, tau, relu, residual
    )


# What torch.jit.script compiles in the place of the function above.
_scripted = _scripted_op if has_op('group_norm') else reference.group_norm
