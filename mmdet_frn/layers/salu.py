"""SALU: a bounded learned function in place of a norm (arXiv 2606.02927)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdet_frn.registry import NORM_LAYERS

from .wide import per_channel, widen


@NORM_LAYERS.register_module()
class SALU(nn.Module):
    """a * x / sqrt(1 + |a * b| * x^2): slope a at 0, bounded by sqrt(a / b).

    Source: Zaied 2026, "SaluNet", eq. (1), which has a > 0 and b > 0 and no other affine
    parameters. The magnitude under the root equals the source's there and keeps it defined where
    training, or an initialisation with 0, takes a or b out of that range. a is called ``weight``,
    where MMDetection's initialisers look for it. One a and b per channel and their initial values
    are this project's choice: the source's were not available when this was written.

    Args:
        num_features: Channels C.
        slope: Initial value of a. Default 1.
        curvature: Initial value of b. Default 1.
        eps: Accepted because MMCV's builder passes it; without effect.

    Raises:
        ValueError: num_features is below 1, or curvature is not above 0.
    """

    _abbr_ = 'salu'

    def __init__(
        self, num_features: int, slope: float = 1.0, curvature: float = 1.0, eps: float = 0.0
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f'num_features must be >= 1, got {num_features}')
        if not curvature > 0:
            raise ValueError(f'curvature must be > 0, got {curvature}')
        self.num_features = num_features
        self.weight = nn.Parameter(torch.full((num_features,), slope))
        self.curvature = nn.Parameter(torch.full((num_features,), curvature))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, C, *)."""
        wide, a, b = widen(x), per_channel(self.weight, x), per_channel(self.curvature, x)
        return (a * wide * (1 + (a * b).abs() * wide.square()).rsqrt()).to(x.dtype)

    def extra_repr(self) -> str:
        """Return the arguments for ``print``."""
        return f'{self.num_features}'
