"""PReLU with a slope per channel, its channel count filled in like TLU's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mmdet_frn.registry import ACTIVATION_LAYERS


@ACTIVATION_LAYERS.register_module()
class ChannelPReLU(nn.PReLU):
    """PyTorch's PReLU with one learned slope per channel, max(x, kappa * x) for kappa <= 1.

    Source: He et al. 2015; Table 5 of Singh and Krishnan 2020. MMCV's ``PReLU`` has one slope for
    all channels unless the config counts them.

    Args:
        num_features: Channels C; ConvModule and the models of mmdet_frn fill it in.
        init: Initial slope. Default 0.25.
    """

    def __init__(self, num_features: int, init: float = 0.25, inplace: bool = False) -> None:
        super().__init__(num_features, init)

    def forward(self, x: Tensor) -> Tensor:
        """Return x where x >= 0, else slope * x, for x (N, C, *)."""
        return F.prelu(x, self.weight.to(x.dtype))
