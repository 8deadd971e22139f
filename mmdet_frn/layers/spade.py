"""Spatially-adaptive normalization (Park et al., CVPR 2019)."""

from __future__ import annotations

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn
from torch.nn import functional as F

from mmdet_frn.registry import NORM_LAYERS

from .wide import widen


@NORM_LAYERS.register_module()
class SPADE(nn.Module):
    """(1 + gamma(m)) * x_hat + beta(m), gamma and beta predicted at each pixel from a mask m.

    The mask is resized to x by its nearest pixel; a 3x3 convolution with ReLU comes before the
    two that predict gamma and beta, which are 0 at first: a fresh layer is its norm. Source: Park
    et al. 2019.

    Args:
        num_features: Channels C.
        mask_channels: Channels M of the mask.
        hidden: Channels of the first convolution. Default 128.
        norm_cfg: Norm that gives x_hat. Default BN without gamma and beta, as in
            the source.
    """

    condition = 'mask'

    def __init__(
        self,
        num_features: int,
        mask_channels: int,
        hidden: int = 128,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        self.norm = build_norm_layer(norm_cfg or {'type': 'BN', 'affine': False}, num_features)[1]
        self.shared = nn.Conv2d(mask_channels, hidden, 3, padding=1)
        self.modulation = nn.Conv2d(hidden, 2 * num_features, 3, padding=1)
        for parameter in self.modulation.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Modulate x (N, C, H, W) by mask (N, M, h, w) of any size."""
        mask = F.interpolate(mask, x.shape[2:], mode='nearest')
        gamma, beta = widen(self.modulation(self.shared(mask).relu())).chunk(2, 1)
        return ((1 + gamma) * widen(self.norm(x)) + beta).to(x.dtype)
