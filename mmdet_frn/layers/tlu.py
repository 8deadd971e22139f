"""The Thresholded Linear Unit as a layer (Singh and Krishnan, CVPR 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmdet_frn.ops import tlu
from mmdet_frn.registry import ACTIVATION_LAYERS


@ACTIVATION_LAYERS.register_module()
class TLU(nn.Module):
    """Thresholded Linear Unit, eq. (3): max(y, tau) with a learned tau per channel.

    Input and output are (N, C, *). In an ``act_cfg`` of MMCV's ConvModule or of this project's
    models ``num_features`` may be left out; they fill it in.

    Args:
        num_features: Channels C.
        init: Value at which every tau starts; the paper gives none. Default 0, where TLU is ReLU.
        inplace: Taken because ConvModule passes it to every activation, and without effect: the
            backward pass needs the input.

    Raises:
        ValueError: num_features is missing or below 1, or init is not finite.
    """

    def __init__(
        self, num_features: int | None = None, init: float = 0.0, inplace: bool = False
    ) -> None:
        super().__init__()
        if num_features is None:
            raise ValueError(
                'TLU has one threshold per channel and must know how many: name num_features, '
                "as in dict(type='TLU', num_features=256); only ConvModule and the models of "
                'mmdet_frn can fill it in'
            )
        if num_features < 1:
            raise ValueError(f'num_features must be at least 1, but is {num_features}')
        if not math.isfinite(init):
            raise ValueError(f'init must be a finite number, got {init}')
        self.num_features = num_features
        self.init = float(init)
        self.tau = nn.Parameter(torch.empty(num_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set tau to ``init``."""
        nn.init.constant_(self.tau, self.init)

    def forward(self, y: Tensor) -> Tensor:
        """Return max(y, tau) for y of (N, C, *)."""
        return tlu(y, self.tau)

    def extra_repr(self) -> str:
        """Return the arguments for ``print``."""
        return f'{self.num_features}, init={self.init:g}'
