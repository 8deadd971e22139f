"""What is measured side by side: each a module from a map x to a map of the same shape."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmdet_frn.ops import frn_tlu, reference
from mmdet_frn.ops.library import has_kernels

EPS = 1e-6
OURS, CLONE, BATCH_NORM, COMPILED = 'FRN+TLU fused', 'clone', 'BN+ReLU', 'FRN+TLU compiled'


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


def _fused(x: Tensor) -> nn.Module:
    if not has_kernels(x.device.type):
        raise RuntimeError(f'no fused kernels for {x.device.type} in this build')
    return FrnTlu(x.shape[1], frn_tlu)


def _compiled(x: Tensor) -> nn.Module:
    # Without a reset, the maps before this one would count towards dynamo's limit.
    torch._dynamo.reset()
    return FrnTlu(x.shape[1], torch.compile(reference.frn_tlu, dynamic=False, fullgraph=True))


def _timm(x: Tensor) -> nn.Module:
    from timm.layers import FilterResponseNormTlu2d  # of the tests' extra

    return FilterResponseNormTlu2d(x.shape[1], eps=EPS)


def _batch_norm(x: Tensor) -> nn.Module:
    # In training mode; ReLU in place as in ResNet.
    return nn.Sequential(nn.BatchNorm2d(x.shape[1]), nn.ReLU(inplace=True))


def _group_norm(x: Tensor) -> nn.Module:
    norm = nn.GroupNorm(min(32, x.shape[1]), x.shape[1])
    if x.is_cuda:
        norm.to(x.dtype)  # its kernels there take parameters in x's dtype alone
    return nn.Sequential(norm, nn.ReLU(inplace=True))


# Parameters are fp32 for half maps too, as under autocast.
CONTENDERS: dict[str, Callable[[Tensor], nn.Module]] = {
    OURS: _fused,
    BATCH_NORM: _batch_norm,
    'GN+ReLU': _group_norm,
    COMPILED: _compiled,
    'FRN+TLU eager': lambda x: FrnTlu(x.shape[1], reference.frn_tlu),
    'FRN+TLU timm': _timm,
    CLONE: lambda x: Clone(),
}
