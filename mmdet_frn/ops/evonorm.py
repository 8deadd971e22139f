"""EvoNorm-S0, a norm that contains its activation, as a function (Liu et al., NeurIPS 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from . import fused, reference
from .checks import check_group_arguments
from .library import has_op, runs_fused


def evonorm_s0(
    x: Tensor,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    v: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """EvoNorm-S0: weight * x * sigmoid(v * x) / sqrt(var + eps) + bias (Liu et al. 2020, Table 2).

    var is the population's, over a group's channels and all spatial dimensions of one sample, taken
    in fp32 for half inputs. Without ``v`` there is no activation: weight * x / sqrt(var + eps) +
    bias, the last norm of a block of EvoNorm-S0a.

    Args:
        x: Input (N, C, *) with zero to three spatial dimensions; floating point. N may be 0.
        num_groups: Groups of C / num_groups neighbouring channels.
        weight: Scale (C,).
        bias: Shift (C,).
        v: Slope of the sigmoid (C,). Default None: without the activation.
        eps: Added to the variance. Default 1e-5.

    Returns:
        Tensor of x's shape and dtype.

    Raises:
        TypeError: an argument is not a floating point tensor, or eps is not a number.
        ValueError: a shape does not fit x, num_groups does not divide C, the spatial extent is
            empty, eps is negative or not finite, or devices differ.
    """
    if not torch.jit.is_scripting():
        args = (x, num_groups, weight, bias, v, eps)
        if has_torch_function_unary(x):
            return handle_torch_function(evonorm_s0, (x,), *args)
        if isinstance(x, Tensor) and runs_fused('evonorm_s0', x.device):
            return _fused(*args)
        return _on_reference(*args)
    return _scripted(x, num_groups, weight, bias, v, eps)


def _on_reference(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, v: Tensor | None, eps: float
) -> Tensor:
    check_group_arguments(x, num_groups, weight, bias, eps, v=v)
    return reference.evonorm_s0(x, num_groups, weight, bias, v, eps)


def _fused(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, v: Tensor | None, eps: float
) -> Tensor:
    """Call the op of csrc/evonorm.cpp, which checks its arguments."""
    op = torch.ops.mmdet_frn.evonorm_s0.default
    try:
        return op(x, weight, bias, num_groups, eps, v)
    except RuntimeError as error:
        args = (x, num_groups, weight, bias, v, eps)
        tensors = {'weight': weight, 'bias': bias, 'v': v}
        return fused.recover(error, lambda: _on_reference(*args), tensors, eps)


def _scripted_op(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, v: Tensor | None, eps: float
) -> Tensor:
    return torch.ops.mmdet_frn.evonorm_s0(x, weight, bias, num_groups, eps, v)


# What torch.jit.script compiles in the place of the function above.
_scripted = _scripted_op if has_op('evonorm_s0') else reference.evonorm_s0
