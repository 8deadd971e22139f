"""FRN over groups of channels: the paper's GFRN and LFRN (Table 3)."""

from __future__ import annotations

from torch import Tensor

from mmdet_frn.registry import NORM_LAYERS

from .affine_norm import AffineNorm, check_groups
from .builder_eps import resolve_eps
from .wide import affine, widen


@NORM_LAYERS.register_module()
class GFRN(AffineNorm):
    """GroupNorm without mean subtraction: weight * x / sqrt(mean(x^2) + eps) + bias.

    The mean is over the channels of a group and the spatial dimensions of one sample. Source: Singh
    and Krishnan 2020, section 4.2: "the uncentered second moments instead of variance".

    Args:
        num_features: Channels C.
        num_groups: Groups of C / num_groups neighbouring channels. Default 32, as GN in the paper.
        eps: Default 1e-6, as FRN's.

    Raises:
        ValueError: num_groups does not divide num_features.
    """

    _abbr_ = 'gfrn'

    def __init__(self, num_features: int, num_groups: int = 32, eps: float = 1e-6) -> None:
        super().__init__(num_features, resolve_eps(eps, 1e-6))
        self.num_groups = check_groups(num_groups, num_features)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, *)."""
        wide = widen(x)
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        rms = (groups.square().mean(2) + self.eps).rsqrt()
        rms = rms.repeat_interleave(self.num_features // self.num_groups, dim=1)
        x_hat = wide * rms.view(*rms.shape, *[1] * (x.dim() - 2))
        return affine(x_hat, self.weight, self.bias, x.dtype)


@NORM_LAYERS.register_module()
class LFRN(GFRN):
    """GFRN with one group: LayerNorm over (C, *) without mean subtraction.

    Args:
        num_features: Channels C.
        eps: Default 1e-6, as FRN's.
    """

    _abbr_ = 'lfrn'

    def __init__(self, num_features: int, eps: float = 1e-6) -> None:
        super().__init__(num_features, num_groups=1, eps=eps)
