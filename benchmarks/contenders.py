"""What is measured side by side: each a module from a map x to a map of the same shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmdet_frn.layers.norm_act import build_act, norm_act
from mmdet_frn.norms import NORMS, Norm
from mmdet_frn.ops import reference
from mmdet_frn.ops.library import has_kernels

EPS = 1e-6
OURS, CLONE, BATCH_NORM, COMPILED = 'FRN+TLU fused', 'clone', 'BN+ReLU', 'FRN+TLU compiled'
TORCH_GROUP_NORM = 'GN+ReLU torch'


class NormAct(nn.Module):
    """A norm of the table for the channels of x, with the activation that it goes with."""

    def __init__(self, row: Norm, x: Tensor) -> None:
        super().__init__()
        channels = x.shape[1]
        norm_cfg = dict(row.norm_cfg)
        if 'num_groups' in norm_cfg:
            norm_cfg['num_groups'] = math.gcd(norm_cfg['num_groups'], channels)
        self.norm = build_norm_layer(norm_cfg, channels)[1]
        self.act = build_act(row.act_cfg, channels, self.norm)
        if row.label == 'FRN' and not has_kernels(x.device.type):
            raise RuntimeError(f'no fused kernels for {x.device.type} in this build')
        if x.is_cuda and isinstance(self.norm, nn.GroupNorm):
            self.to(x.dtype)  # its kernels there take parameters in x's dtype alone

    def forward(self, x: Tensor) -> Tensor:
        """Return act(norm(x))."""
        return norm_act(x, self.norm, self.act)


class InTurn(NormAct):
    """The same by the norm's own op and the activation's, one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        """Return act(norm(x))."""
        return self.act(self.norm(x))


class FrnTlu(nn.Module):
    """FRN and TLU by a function with the arguments of :func:`mmdet_frn.ops.frn_tlu`."""

    def __init__(self, channels: int, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.tau = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return max(frn(x), tau)."""
        return self.function(x, self.weight, self.bias, self.tau, EPS)


class Clone(nn.Module):
    """A copy: what a kernel that does nothing but read and write once takes."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy of x."""
        return x.clone()


def _compiled(x: Tensor) -> nn.Module:
    # Without a reset, the maps before this one would count towards dynamo's limit.
    torch._dynamo.reset()
    return FrnTlu(x.shape[1], torch.compile(reference.frn_tlu, dynamic=False, fullgraph=True))


def _timm(x: Tensor) -> nn.Module:
    from timm.layers import FilterResponseNormTlu2d  # of the tests' extra

    return FilterResponseNormTlu2d(x.shape[1], eps=EPS)


def contender_name(row: Norm) -> str:
    """Return the name of a norm of the table among the contenders."""
    name = f'{row.label}+{row.act_cfg["type"]}'
    return OURS if row.label == 'FRN' else name


# Parameters are fp32 for half maps too, as under autocast.
CONTENDERS: dict[str, Callable[[Tensor], nn.Module]] = {
    **{contender_name(row): partial(NormAct, row) for row in NORMS},
    TORCH_GROUP_NORM: partial(InTurn, next(row for row in NORMS if row.label == 'GN')),
    COMPILED: _compiled,
    'FRN+TLU eager': lambda x: FrnTlu(x.shape[1], reference.frn_tlu),
    'FRN+TLU timm': _timm,
    CLONE: lambda x: Clone(),
}
# What is measured unless others are asked for.
DEFAULT = [OURS, BATCH_NORM, TORCH_GROUP_NORM, COMPILED, 'FRN+TLU eager', 'FRN+TLU timm', CLONE]
