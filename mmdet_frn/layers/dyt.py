"""Element-wise functions in place of a norm: Dynamic Tanh and Dynamic erf."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdet_frn.ops import dyt
from mmdet_frn.registry import NORM_LAYERS

from .affine_norm import AffineNorm
from .wide import affine, widen


@NORM_LAYERS.register_module()
class DyT(AffineNorm):
    """weight * tanh(alpha * x) + bias with one learned alpha.

    Source: Zhu et al. 2025, "Transformers without Normalization", who found that it cannot replace
    BN in ResNet-50 and VGG19 without a loss of accuracy.

    Args:
        num_features: Channels C.
        alpha: Initial value of alpha. Default 0.5, the source's.
        eps: Accepted because MMCV's builder passes it; without effect.
    """

    _abbr_ = 'dyt'

    def __init__(self, num_features: int, alpha: float = 0.5, eps: float = 0.0) -> None:
        super().__init__(num_features, eps)
        self.alpha = nn.Parameter(torch.full((1,), alpha))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, C, *)."""
        return dyt(x, self.weight, self.bias, self.alpha)


@NORM_LAYERS.register_module()
class Derf(DyT):
    """weight * erf(alpha * x + s) + bias with one learned alpha and one learned s.

    Source: Chen et al. 2025, "Stronger Normalization-Free Transformers", eq. (10).

    Args:
        num_features: Channels C.
        alpha: Initial value of alpha. Default 0.5, the authors' code.
        shift: Initial value of s. Default 0, the authors' code.
        eps: Accepted because MMCV's builder passes it; without effect.
    """

    _abbr_ = 'derf'

    def __init__(
        self, num_features: int, alpha: float = 0.5, shift: float = 0.0, eps: float = 0.0
    ) -> None:
        super().__init__(num_features, alpha, eps)
        self.shift = nn.Parameter(torch.full((1,), shift))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, C, *)."""
        x_hat = (widen(self.alpha) * widen(x) + widen(self.shift)).erf()
        return affine(x_hat, self.weight, self.bias, x.dtype)
