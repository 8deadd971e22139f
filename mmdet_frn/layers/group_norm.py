"""PyTorch's GroupNorm or InstanceNorm and the activation after it in one op, where that is faster.

By docs/results/ops.md: always, but for GroupNorm and ReLU without a backward.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdet_frn.ops import group_norm
from mmdet_frn.ops.library import runs_fused_op

from .tlu import TLU


def fuses(norm: nn.Module, act: nn.Module) -> bool:
    """Return whether :func:`forward_act` takes the two: an affine norm, and a TLU or ReLU.

    Forward hooks of either must fire, so that a module with one is not fused.
    """
    return (
        type(norm) in (nn.GroupNorm, nn.InstanceNorm2d)
        and norm.affine
        and not getattr(norm, 'track_running_stats', False)
        and isinstance(act, (TLU, nn.ReLU))
        and not (norm._forward_hooks or norm._forward_pre_hooks)
        and not (act._forward_hooks or act._forward_pre_hooks)
    )


def forward_act(
    x: Tensor,
    norm: nn.GroupNorm | nn.InstanceNorm2d,
    act: TLU | nn.ReLU,
    residual: Tensor | None = None,
) -> Tensor | None:
    """Return act(norm(x) [+ residual]) in one op; None where PyTorch's shall do it."""
    if not runs_fused_op('group_norm', x.device):
        return None
    if isinstance(norm, nn.GroupNorm):
        num_groups = norm.num_groups
        if isinstance(act, nn.ReLU) and not torch.is_grad_enabled():
            return None
    else:
        num_groups = norm.num_features
        if x.dim() != 4 or x.shape[2:].numel() < 2:  # PyTorch's says what is wrong
            return None
    arguments = act_arguments(act)
    return group_norm(
        x, num_groups, norm.weight, norm.bias, norm.eps, residual=residual, **arguments
    )


def act_arguments(act: TLU | nn.ReLU) -> dict[str, Tensor | bool]:
    """Return the arguments of :func:`mmdet_frn.ops.group_norm` that stand for ``act``."""
    return {'tau': act.tau} if isinstance(act, TLU) else {'relu': True}
