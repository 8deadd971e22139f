"""LayerNorm and RMSNorm over the channels of each pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdet_frn.registry import NORM_LAYERS

from .affine_norm import AffineNorm
from .builder_eps import resolve_eps
from .wide import affine, widen


@NORM_LAYERS.register_module()
class LN2d(AffineNorm):
    """weight * (x - mean) / sqrt(var + eps) + bias, mean and variance over C at each pixel.

    Source: Ba et al. 2016, as used in ConvNeXt (Liu et al. 2022).

    Args:
        num_features: Channels C.
        eps: Default 1e-6, ConvNeXt's.
    """

    _abbr_ = 'ln'

    def __init__(self, num_features: int, eps: float = 1e-6) -> None:
        super().__init__(num_features, resolve_eps(eps, 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, *)."""
        var, mean = torch.var_mean(widen(x), 1, unbiased=False, keepdim=True)
        x_hat = (widen(x) - mean) * (var + self.eps).rsqrt()
        return affine(x_hat, self.weight, self.bias, x.dtype)


@NORM_LAYERS.register_module()
class RMSNorm2d(AffineNorm):
    """weight * x / sqrt(mean(x^2) + eps) + bias, the mean over C at each pixel.

    Source: Zhang and Sennrich 2019, with the bias that their section 4 leaves optional; MMDetection
    initialises it in every norm.

    Args:
        num_features: Channels C.
        eps: Default 1e-6, timm's RmsNorm2d.
    """

    _abbr_ = 'rms'

    def __init__(self, num_features: int, eps: float = 1e-6) -> None:
        super().__init__(num_features, resolve_eps(eps, 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, *)."""
        wide = widen(x)
        x_hat = wide * (wide.square().mean(1, keepdim=True) + self.eps).rsqrt()
        return affine(x_hat, self.weight, self.bias, x.dtype)
