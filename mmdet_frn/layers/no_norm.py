"""No normalisation, as a norm: the bias alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdet_frn.registry import NORM_LAYERS

from .wide import per_channel, widen


@NORM_LAYERS.register_module()
class NoNorm(nn.Module):
    """x + bias, in the place of a norm.

    MMDetection's convolutions have no bias where a norm follows, so this is what a network without
    norms has there. Source: De and Smith, NeurIPS 2020.

    Args:
        num_features: Channels C.
        eps: Unused; MMCV's builder passes it.
    """

    _abbr_ = 'bias'

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features = num_features
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Add the bias to x (N, C, *)."""
        return (widen(x) + per_channel(self.bias, x)).to(x.dtype)

    def extra_repr(self) -> str:
        """Return the arguments for ``print``."""
        return str(self.num_features)
