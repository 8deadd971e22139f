"""One convolution for all pyramid levels, with a normalisation and activation for each."""

from __future__ import annotations

from mmcv.cnn import build_conv_layer, build_norm_layer
from torch import Tensor, nn

from .norm_act import build_act, norm_act


class SharedConv(nn.Module):
    """3x3 convolution shared by the levels of a pyramid; norm and activation per level or shared.

    Every parameter has one owner, so that ``paramwise_cfg`` meets it once (MMDetection's
    RetinaSepBNHead lists a shared convolution under every level).

    Args:
        in_channels, out_channels: Channels.
        num_levels: Pyramid levels with a norm and activation of their own; 1 shares them.
        conv_cfg, norm_cfg: As in MMCV's ConvModule. Without a norm the convolution has a bias.
        act_cfg: As in MMCV's ConvModule; a TLU's ``num_features`` may be left out.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_levels: int,
        conv_cfg: dict | None,
        norm_cfg: dict | None,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        self.conv = build_conv_layer(
            conv_cfg, in_channels, out_channels, 3, padding=1, bias=norm_cfg is None
        )
        self.norms = nn.ModuleList(
            nn.Identity() if norm_cfg is None else build_norm_layer(norm_cfg, out_channels)[1]
            for _ in range(num_levels)
        )
        self.acts = nn.ModuleList(build_act(act_cfg, out_channels, norm) for norm in self.norms)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Map x (N, in_channels, H, W) of pyramid level ``level`` to (N, out_channels, H, W)."""
        return norm_act(self.conv(x), self.norms[level], self.acts[level])
