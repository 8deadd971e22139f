"""A neck that conditions the maps of a pyramid on what the image holds."""

from __future__ import annotations

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class ConditionNeck(BaseModule):
    """Apply a conditional norm, or attention, to levels of a pyramid: goes after FPN.

    ``neck=[dict(type='FPN', ...), dict(type='ConditionNeck', layer=dict(type='FiLM'), ...)]``

    The condition comes from the coarsest level: a code of the image, relu(linear(mean)), for
    ``FiLM``, ``CBN`` and ``AdaLN``; a coarse mask, sigmoid of a 1x1 convolution, for ``SPADE``;
    none for ``QKNormAttention``. Each level has a layer of its own; a fresh neck with ``FiLM`` or
    ``QKNormAttention`` returns its input.

    Args:
        in_channels: Channels C of every level.
        num_levels: Levels of the pyramid.
        layer: Config of the layer, without its channel counts.
        condition_features: Length of the code, or channels of the mask. Default 64.
        levels: Indices of the levels with a layer. Default all.

    Raises:
        ValueError: forward gets another number of levels.
    """

    def __init__(
        self,
        in_channels: int,
        num_levels: int,
        layer: dict,
        condition_features: int = 64,
        levels: list[int] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_levels = num_levels
        chosen = range(num_levels) if levels is None else [level % num_levels for level in levels]
        kind = MODELS.get(layer['type']).condition
        self.condition = kind
        args = {'num_features': in_channels, **layer}
        if kind == 'code':
            self.encode: nn.Module = nn.Linear(in_channels, condition_features)
            args['code_features'] = condition_features
        elif kind == 'mask':
            self.encode = nn.Conv2d(in_channels, condition_features, 1)
            args['mask_channels'] = condition_features
        self.layers = nn.ModuleDict({str(level): MODELS.build(dict(args)) for level in chosen})

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Map the levels (N, C, H, W), finest first, to as many of the same shapes."""
        if len(feats) != self.num_levels:
            raise ValueError(f'num_levels is {self.num_levels}, but got {len(feats)} levels')
        coarsest = feats[-1]
        condition: list[Tensor] = []
        if self.condition == 'code':
            condition = [self.encode(coarsest.mean((2, 3))).relu()]
        elif self.condition == 'mask':
            condition = [self.encode(coarsest).sigmoid()]
        outs = list(feats)
        for level, layer in self.layers.items():
            outs[int(level)] = layer(feats[int(level)], *condition)
        return tuple(outs)
