"""What the norms written in PyTorch share: arithmetic in fp32 or wider, and the affine step."""

from __future__ import annotations

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """Return x in fp32 if it is narrower, so that squares and sums neither overflow nor round."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def per_channel(param: Tensor, x: Tensor) -> Tensor:
    """Shape ``param`` (C,) or (1,) so that it broadcasts over x (N, C, *), in at least fp32."""
    return widen(param).view(1, -1, *[1] * (x.dim() - 2))


def affine(x_hat: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """Return weight * x_hat + bias for each channel of x_hat (N, C, *), in ``dtype``."""
    return (per_channel(weight, x_hat) * x_hat + per_channel(bias, x_hat)).to(dtype)
