"""Batch renormalization (Ioffe, NeurIPS 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdet_frn.registry import NORM_LAYERS

from .affine_norm import AffineNorm
from .wide import affine, per_channel, widen


@NORM_LAYERS.register_module()
class BatchRenorm(AffineNorm):
    """BN corrected towards its running statistics: weight * ((x - m) / s * r + d) + bias.

    m and s = sqrt(var + eps) are the batch's mean and deviation over N, H, W; mu and sigma are
    their running averages. r = s / sigma, limited to [1 / r_max, r_max], and d = (m - mu) / sigma,
    limited to [-d_max, d_max], get no gradient. In evaluation weight * (x - mu) / sigma + bias.

    The limits are 1 and 0, where it is BN, for ``start`` steps, and rise linearly to ``r_max`` at
    step ``r_end`` and to ``d_max`` at step ``d_end``. Source: Ioffe 2017, Algorithm 1; all defaults
    are those of its section 4.

    Args:
        num_features: Channels C.
        eps: Default 1e-5. The source gives none; BN's.
        momentum: Share of the new batch in the running averages. Default 0.01.
        r_max: Default 3.
        d_max: Default 5.
        start: Default 5000 steps.
        r_end: Default 40000 steps.
        d_end: Default 25000 steps.

    Raises:
        ValueError: r_end or d_end is not after start.
    """

    _abbr_ = 'brn'
    running_mean: Tensor
    running_std: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.01,
        r_max: float = 3.0,
        d_max: float = 5.0,
        start: int = 5000,
        r_end: int = 40000,
        d_end: int = 25000,
    ) -> None:
        super().__init__(num_features, eps)
        if not start < min(r_end, d_end):
            raise ValueError(f'r_end and d_end must be > start={start}, got {r_end} and {d_end}')
        self.momentum = momentum
        self.r_max, self.d_max = r_max, d_max
        self.start, self.r_end, self.d_end = start, r_end, d_end
        self.register_buffer('running_mean', torch.zeros(num_features))
        self.register_buffer('running_std', torch.ones(num_features))
        self.register_buffer('num_batches_tracked', torch.tensor(0))

    def limits(self) -> tuple[Tensor, Tensor]:
        """Return the current limits of r and d."""
        steps = self.num_batches_tracked - self.start
        r_share = (steps / (self.r_end - self.start)).clamp(0, 1)
        d_share = (steps / (self.d_end - self.start)).clamp(0, 1)
        return 1 + (self.r_max - 1) * r_share, self.d_max * d_share

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, H, W)."""
        wide = widen(x)
        mean, std = self.running_mean, self.running_std
        if not self.training:
            x_hat = (wide - per_channel(mean, wide)) / per_channel(std, wide)
            return affine(x_hat, self.weight, self.bias, x.dtype)
        var, batch_mean = torch.var_mean(wide, (0, 2, 3), unbiased=False)
        batch_std = (var + self.eps).sqrt()
        with torch.no_grad():
            r_max, d_max = self.limits()
            r = torch.clamp(batch_std / std, 1 / r_max, r_max)
            d = torch.clamp((batch_mean - mean) / std, -d_max, d_max)
            mean.lerp_(batch_mean.to(mean.dtype), self.momentum)
            std.lerp_(batch_std.to(std.dtype), self.momentum)
            self.num_batches_tracked += 1
        x_hat = (wide - per_channel(batch_mean, wide)) / per_channel(batch_std, wide)
        x_hat = x_hat * per_channel(r, wide) + per_channel(d, wide)
        return affine(x_hat, self.weight, self.bias, x.dtype)
