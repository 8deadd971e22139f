"""Convolution with centred weights (Yan et al., ICLR 2020)."""

from __future__ import annotations

from torch import Tensor, nn

from mmdet_frn.registry import CONV_LAYERS


@CONV_LAYERS.register_module()
class CenteredConv(nn.Conv2d):
    """Conv2d with the weight w - mean, the mean of each output channel's weights.

    What MABN, which subtracts no mean, has in place of centred activations. Source: Yan et al.
    2020, "Towards stabilizing batch statistics in backward propagation of batch normalization".

    Args:
        args, kwargs: As for ``nn.Conv2d``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, C_in, H, W) to (N, C_out, H', W')."""
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight, self.bias)
