"""Moving average batch normalization (Yan et al., ICLR 2020)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmdet_frn.registry import NORM_LAYERS

from .affine_norm import AffineNorm
from .wide import affine, per_channel, widen


class _Normalise(torch.autograd.Function):
    """r x / sqrt(chi + eps) with the backward pass of BN, its mean over a window of batches.

    With z = x / sqrt(chi + eps) and g the gradient of z, BN's second moment gives
    dx = (g - z mean(g z)) / sqrt(chi + eps). The mean is put into ``window`` at ``slot`` and taken
    over the window where ``moving`` says so.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, root: Tensor, r: Tensor, window: Tensor, slot: Tensor, moving: Tensor
    ) -> Tensor:
        z = x / per_channel(root, x)
        ctx.save_for_backward(z, root, r, slot, moving)
        ctx.window = window
        return z * per_channel(r, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        z, root, r, slot, moving = ctx.saved_tensors
        grad = grad * per_channel(r, grad)
        batch = (grad * z).mean((0, 2, 3))
        window = ctx.window
        window.copy_(torch.where(slot, batch.to(window.dtype), window))
        mean = torch.where(moving, window.mean(0).to(batch.dtype), batch)
        dx = (grad - z * per_channel(mean, z)) / per_channel(root, z)
        return dx, None, None, None, None, None


@NORM_LAYERS.register_module()
class MABN(AffineNorm):
    """weight * r * x / sqrt(chi + eps) + bias, chi a moving average of the batch's mean(x^2).

    No mean is subtracted; use it after :class:`CenteredConv`. chi is the average over the last
    ``buffer_size`` batches, and so is the mean that BN's backward pass needs. r = sqrt((chi + eps)
    / (running + eps)), limited to [1 / r_max, r_max] and without gradient, turns to the slower
    running average, which evaluation uses. For ``warmup`` batches, and until the window is full,
    both means are the batch's; r is 1 for ``renorm_start`` batches.

    Source: Yan et al. 2020, "Towards stabilizing batch statistics in backward propagation of batch
    normalization"; defaults are those of the authors' code, github.com/megvii-model/MABN, where 16
    batches of 2 images stand for one of 32.

    Args:
        num_features: Channels C.
        eps: Default 1e-5.
        momentum: Share of the new chi in the running average. Default 0.02.
        buffer_size: Batches in the window. Default 16.
        warmup: Default 100 batches.
        renorm_start: Default 1000 batches.
        r_max: Default 5.

    Raises:
        ValueError: buffer_size is below 1.
    """

    _abbr_ = 'mabn'
    running_var: Tensor
    window_x2: Tensor
    window_gz: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.02,
        buffer_size: int = 16,
        warmup: int = 100,
        renorm_start: int = 1000,
        r_max: float = 5.0,
    ) -> None:
        super().__init__(num_features, eps)
        if buffer_size < 1:
            raise ValueError(f'buffer_size must be >= 1, got {buffer_size}')
        self.momentum = momentum
        self.buffer_size = buffer_size
        self.warmup = warmup
        self.renorm_start = renorm_start
        self.r_max = r_max
        self.register_buffer('running_var', torch.ones(num_features))
        self.register_buffer('window_x2', torch.zeros(buffer_size, num_features))
        self.register_buffer('window_gz', torch.zeros(buffer_size, num_features))
        self.register_buffer('num_batches_tracked', torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, H, W)."""
        wide = widen(x)
        if not self.training:
            x_hat = wide / per_channel((self.running_var + self.eps).sqrt(), wide)
            return affine(x_hat, self.weight, self.bias, x.dtype)
        with torch.no_grad():
            root, r, slot, moving = self._statistics(wide)
        x_hat = _Normalise.apply(wide, root, r, self.window_gz, slot, moving)
        return affine(x_hat, self.weight, self.bias, x.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Take a batch in; return sqrt(chi + eps), r, its place in the windows, and whether full.

        chi's own gradient is the term of the backward pass that has the windowed mean.
        """
        self.num_batches_tracked += 1
        step = self.num_batches_tracked
        places = torch.arange(self.buffer_size, device=step.device)
        slot = (places == step % self.buffer_size)[:, None]
        moving = (step > self.buffer_size) & (step >= self.warmup)
        batch = x.square().mean((0, 2, 3))
        kept = torch.where(slot, batch.to(self.window_x2.dtype), self.window_x2)
        self.window_x2.copy_(kept)
        chi = torch.where(moving, kept.mean(0).to(batch.dtype), batch)
        ratio = ((chi + self.eps) / (self.running_var + self.eps)).sqrt()
        ratio = ratio.clamp(1 / self.r_max, self.r_max)
        r = torch.where(step > max(self.renorm_start, self.warmup), ratio, torch.ones_like(ratio))
        self.running_var.lerp_(chi.to(self.running_var.dtype), self.momentum)
        return (chi + self.eps).sqrt(), r, slot, moving
