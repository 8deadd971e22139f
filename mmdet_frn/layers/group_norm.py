"""PyTorch's GroupNorm or InstanceNorm and the activation after it in one op, where that is faster.

By docs/results/ops.md: on a CPU always, but for GroupNorm and ReLU without a backward. On a GPU
nobody has timed the kernels, so PyTorch's stay.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from mmdet_frn.ops import group_norm
from mmdet_frn.ops.library import runs_fused

from .tlu import TLU


def fuses(norm: nn.Module, act: nn.Module) -> TypeGuard[nn.GroupNorm | nn.InstanceNorm2d]:
    """Return whether :func:`forward_act` takes the two: an affine norm, and a TLU or ReLU.

    Forward hooks of either must fire, so that a module with one is not fused.
    """
    return (
        type(norm) in (nn.GroupNorm, nn.InstanceNorm2d)
        and getattr(norm, 'affine', False)
        and not getattr(norm, 'track_running_stats', False)
        and isinstance(act, (TLU, nn.ReLU))
        and not (norm._forward_hooks or norm._forward_pre_hooks)
        and not (act._forward_hooks or act._forward_pre_hooks)
    )


def forward_act(
    x: Tensor,
    norm: nn.GroupNorm | nn.InstanceNorm2d,
    act: nn.Module,
    residual: Tensor | None = None,
) -> Tensor | None:
    """Return act(norm(x) [+ residual]) in one op for what :func:`fuses`; None: PyTorch's shall."""
    if x.device.type != 'cpu' or not runs_fused('group_norm', x.device):
        return None
    if isinstance(norm, nn.GroupNorm):
        num_groups = norm.num_groups
        if isinstance(act, nn.ReLU) and not torch.is_grad_enabled():
            return None
    else:
        num_groups = norm.num_features
        if x.dim() != 4 or x.shape[2] * x.shape[3] < 2:  # PyTorch's says what is wrong
            return None
    arguments = act_arguments(act)
    return group_norm(
        x, num_groups, norm.weight, norm.bias, norm.eps, residual=residual, **arguments
    )


def act_arguments(act: nn.Module) -> dict[str, Any]:
    """Return the arguments of :func:`mmdet_frn.ops.group_norm` that stand for a TLU or ReLU."""
    return {'tau': act.tau} if isinstance(act, TLU) else {'relu': True}
