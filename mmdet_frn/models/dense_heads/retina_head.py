"""MMDetection's RetinaNet head with the norm and activation of its towers chosen by config."""

from __future__ import annotations

from mmdet.models.dense_heads import RetinaHead
from mmdet.models.utils import multi_apply
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmdet_frn.layers import SharedConv


@MODELS.register_module()
class NormActRetinaHead(RetinaHead):
    """RetinaHead whose towers share their convolutions over the levels, but not their norms.

    Each pyramid level has its own norm and activation (its own tau) after each shared convolution,
    for BN, GN and FRN alike, as in the TensorFlow RetinaNet and in RetinaSepBNHead: plain BN shared
    by five levels would mix their statistics. Everything else is MMDetection's RetinaHead.

    Args:
        act_cfg: Activation of the towers; a TLU's ``num_features`` is filled in. Default ReLU.
        share_norm: Share norms and activations over the levels too, as RetinaHead does.
            Default False.
        kwargs: All others of RetinaHead, ``norm_cfg`` and ``stacked_convs`` among them.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        act_cfg: dict | None = None,
        share_norm: bool = False,
        **kwargs,
    ) -> None:
        self.act_cfg = act_cfg or {'type': 'ReLU'}
        self.share_norm = share_norm
        super().__init__(num_classes, in_channels, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        del self.relu
        self.cls_convs = self._make_tower()
        self.reg_convs = self._make_tower()

    def _make_tower(self) -> nn.ModuleList:
        return nn.ModuleList(
            SharedConv(
                self.feat_channels if i else self.in_channels,
                self.feat_channels,
                num_levels=1 if self.share_norm else self.prior_generator.num_levels,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
                act_cfg=self.act_cfg,
            )
            for i in range(self.stacked_convs)
        )

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Return class scores and box deltas of every level for its features (N, C, H, W).

        Raises:
            ValueError: the number of levels is not that of the anchor generator's strides.
        """
        if len(feats) != self.prior_generator.num_levels:
            raise ValueError(
                f'the head has anchors for {self.prior_generator.num_levels} levels but got '
                f"{len(feats)}; match anchor_generator.strides and the neck's num_outs"
            )
        return multi_apply(self.forward_single, feats, range(len(feats)))

    def forward_single(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return (N, anchors * classes, H, W) and (N, anchors * 4, H, W) for one level."""
        level = 0 if self.share_norm else level
        cls_feat = reg_feat = x
        for conv in self.cls_convs:
            cls_feat = conv(cls_feat, level)
        for conv in self.reg_convs:
            reg_feat = conv(reg_feat, level)
        return self.retina_cls(cls_feat), self.retina_reg(reg_feat)
