"""Convolution with scaled weight standardization (Brock et al., ICLR 2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmdet_frn.registry import CONV_LAYERS

from .gain import Gain
from .wide import widen

# Deviation of a unit normal variable over that of its ReLU; Brock et al. 2021.
RELU_GAMMA = math.sqrt(2 / (1 - 1 / math.pi))


@CONV_LAYERS.register_module()
class ScaledWSConv(nn.Conv2d):
    """Conv2d with the weight gain * gamma * (w - mean) / sqrt((var + eps) * fan_in).

    Mean and variance are those of an output channel's weights, fan_in is their number and ``gain``
    (C_out,) is learned. The output then has the variance of the input before its ReLU, whatever the
    scale of w. Source: Brock et al. 2021, "Characterizing signal propagation", Scaled WS.

    Args:
        gamma: Factor for the activation before the convolution. Default 1.7129, ReLU's.
        eps: Default 1e-6, timm's; the source has none.
        args, kwargs: As for ``nn.Conv2d``.
    """

    def __init__(self, *args, gamma: float = RELU_GAMMA, eps: float = 1e-6, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.gamma = gamma
        self.eps = eps
        self.gain = Gain(self.out_channels)

    def standardized_weight(self) -> Tensor:
        """Return the weight of the convolution, like ``weight``."""
        weight = widen(self.weight)
        var, mean = torch.var_mean(weight, (1, 2, 3), unbiased=False, keepdim=True)
        scale = self.gamma * ((var + self.eps) * weight[0].numel()).rsqrt()
        scale = scale * self.gain.weight.view(-1, 1, 1, 1)
        return ((weight - mean) * scale).to(self.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, C_in, H, W) to (N, C_out, H', W')."""
        return self._conv_forward(x, self.standardized_weight(), self.bias)
