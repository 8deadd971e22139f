"""Switchable normalization (Luo et al., ICLR 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdet_frn.registry import NORM_LAYERS

from .affine_norm import AffineNorm
from .wide import affine, widen


@NORM_LAYERS.register_module()
class SwitchableNorm(AffineNorm):
    """weight * (x - mean) / sqrt(var + eps) + bias with mean and variance mixed from IN, LN and BN.

    The mixture's weights are softmax(mean_weight) for the means and softmax(var_weight) for the
    variances, three numbers each, equal at first. BN's part is the batch's in training and a
    running average in evaluation. Source: Luo et al. 2019, eq. (3)-(5).

    Args:
        num_features: Channels C.
        eps: Default 1e-5.
        momentum: Share of the new batch in the running averages. Default 0.1, as BN's.
    """

    _abbr_ = 'sn'
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps)
        self.momentum = momentum
        self.mean_weight = nn.Parameter(torch.ones(3))
        self.var_weight = nn.Parameter(torch.ones(3))
        self.register_buffer('running_mean', torch.zeros(num_features))
        self.register_buffer('running_var', torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, H, W)."""
        wide = widen(x)
        var_in, mean_in = torch.var_mean(wide, (2, 3), unbiased=False, keepdim=True)
        # The variance over a union is the mean of the variances plus the variance of the means.
        var_ln = var_in.mean(1, keepdim=True) + mean_in.var(1, unbiased=False, keepdim=True)
        mean_ln = mean_in.mean(1, keepdim=True)
        if self.training:
            var_bn = var_in.mean(0, keepdim=True) + mean_in.var(0, unbiased=False, keepdim=True)
            mean_bn = mean_in.mean(0, keepdim=True)
            self._update(mean_bn.flatten(), var_bn.flatten(), x.numel() // x.shape[1])
        else:
            mean_bn = self.running_mean.view(1, -1, 1, 1)
            var_bn = self.running_var.view(1, -1, 1, 1)
        by_mean, by_var = widen(self.mean_weight).softmax(0), widen(self.var_weight).softmax(0)
        mean = by_mean[0] * mean_in + by_mean[1] * mean_ln + by_mean[2] * mean_bn
        var = by_var[0] * var_in + by_var[1] * var_ln + by_var[2] * var_bn
        x_hat = (wide - mean) * (var + self.eps).rsqrt()
        return affine(x_hat, self.weight, self.bias, x.dtype)

    @torch.no_grad()
    def _update(self, mean: Tensor, var: Tensor, count: int) -> None:
        unbiased = var * (count / max(count - 1, 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
