"""Ghost batch normalization (Hoffer et al., NeurIPS 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdet_frn.registry import NORM_LAYERS

from .wide import widen


@NORM_LAYERS.register_module()
class GhostBN(nn.BatchNorm2d):
    """BN whose statistics in training are those of ``virtual_batch`` images at a time.

    The running averages move once for each virtual batch, in order. A batch that it does not divide
    ends in a smaller virtual batch. Source: Hoffer et al. 2017, Algorithm 1.

    Args:
        num_features: Channels C.
        virtual_batch: Images in a virtual batch. Default 2; the source has 128 of 4096.
        kwargs: As for BN.

    Raises:
        ValueError: virtual_batch is below 1.
    """

    _abbr_ = 'bn'

    def __init__(self, num_features: int, virtual_batch: int = 2, **kwargs) -> None:
        super().__init__(num_features, **kwargs)
        if virtual_batch < 1:
            raise ValueError(f'virtual_batch must be >= 1, got {virtual_batch}')
        self.virtual_batch = virtual_batch

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, H, W)."""
        if not self.training:
            return super().forward(x)
        parts = [super(GhostBN, self).forward(part) for part in widen(x).split(self.virtual_batch)]
        return torch.cat(parts).to(x.dtype)
