"""A learned factor: the gain of a standardised convolution, and SkipInit (De and Smith 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Gain(nn.Module):
    """Learned factor ``weight`` (C,), whose weight decay is that of the norms.

    Args:
        num_features: Channels C; 1 for one factor for all channels.
        init: Its initial value. Default 1.
    """

    def __init__(self, num_features: int, init: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((num_features,), float(init)))

    def forward(self, x: Tensor) -> Tensor:
        """Return weight * x for x (N, C, *)."""
        return self.weight.view(1, -1, *[1] * (x.dim() - 2)) * x

    def extra_repr(self) -> str:
        """Return the arguments for ``print``."""
        return str(self.weight.numel())


class SkipInit(Gain):
    """One learned factor, 0 at first, after the last norm of a residual branch.

    Source: De and Smith, NeurIPS 2020, who put it in the place of the norms.

    Args:
        norm: Applied first; its state lies below ``norm``. Default None: nothing is.
    """

    def __init__(self, norm: nn.Module | None = None) -> None:
        super().__init__(1, init=0.0)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Return weight * norm(x) for x (N, C, *)."""
        return super().forward(x if self.norm is None else self.norm(x))
