"""Adaptive layer normalization (Peebles and Xie, ICCV 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdet_frn.registry import NORM_LAYERS

from .film import FiLM
from .wide import widen


@NORM_LAYERS.register_module()
class AdaLN(FiLM):
    """(1 + gamma(c)) * (x - mean) / sqrt(var + eps) + beta(c), over C at each pixel.

    A fresh layer is LN2d. Source: the adaLN block of Peebles and Xie 2023, whose tokens are the
    pixels here.

    Args:
        num_features: Channels C.
        code_features: Length D of the code.
        eps: Default 1e-6, as LN2d's.
    """

    def __init__(self, num_features: int, code_features: int, eps: float = 1e-6) -> None:
        super().__init__(num_features, code_features)
        self.eps = eps

    def normalise(self, x: Tensor) -> Tensor:
        """Return x normalised over C at each pixel, in at least fp32."""
        var, mean = torch.var_mean(widen(x), 1, unbiased=False, keepdim=True)
        return (widen(x) - mean) * (var + self.eps).rsqrt()
