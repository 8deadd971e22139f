"""Global Response Normalization (Woo et al., CVPR 2023)."""

from __future__ import annotations

from torch import Tensor, nn

from mmdet_frn.registry import NORM_LAYERS

from .affine_norm import AffineNorm
from .builder_eps import resolve_eps
from .wide import affine, widen


@NORM_LAYERS.register_module()
class GRN(AffineNorm):
    """weight * x * g / (mean_C(g) + eps) + bias + x with g = sqrt(sum_HW(x^2)).

    weight and bias are zeros at first, where GRN is the identity; MMCV's ConvModule sets the weight
    of every norm to 1. It compares channels and does not normalise their scale: ConvNeXt V2 has it
    beside a LayerNorm. Source: Woo et al. 2023, Algorithm 1.

    Args:
        num_features: Channels C.
        eps: Default 1e-6, the source's.
    """

    _abbr_ = 'grn'

    def __init__(self, num_features: int, eps: float = 1e-6) -> None:
        super().__init__(num_features, resolve_eps(eps, 1e-6))
        nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, H, W)."""
        wide = widen(x)
        norm = wide.flatten(2).norm(dim=2)[:, :, None, None]
        x_hat = wide * norm / (norm.mean(1, keepdim=True) + self.eps)
        return (affine(x_hat, self.weight, self.bias, x_hat.dtype) + wide).to(x.dtype)
