"""The scale and shift that most norms share."""

from __future__ import annotations

import torch
from torch import nn


def check_groups(num_groups: int, num_features: int) -> int:
    """Return ``num_groups``.

    Raises:
        ValueError: it does not divide num_features.
    """
    if num_groups < 1 or num_features % num_groups:
        raise ValueError(f'num_groups must divide num_features={num_features}, got {num_groups}')
    return num_groups


class AffineNorm(nn.Module):
    """Base of norms with ``weight`` (C,), ones at first, and ``bias`` (C,), zeros at first.

    Args:
        num_features: Channels C.
        eps: Constant that the subclass adds under or beside the root.

    Raises:
        ValueError: num_features is below 1, or eps is negative.
    """

    def __init__(self, num_features: int, eps: float) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f'num_features must be >= 1, got {num_features}')
        if not eps >= 0:
            raise ValueError(f'eps must be >= 0, got {eps}')
        self.num_features = num_features
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def extra_repr(self) -> str:
        """Return the arguments for ``print``."""
        return f'{self.num_features}, eps={self.eps:g}'
