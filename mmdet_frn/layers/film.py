"""FiLM: a scale and shift of each channel by a code of the image (Perez et al., AAAI 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from mmdet_frn.registry import NORM_LAYERS

from .wide import widen


@NORM_LAYERS.register_module()
class FiLM(nn.Module):
    """(1 + gamma(c)) * x + beta(c), gamma and beta linear in a code c of the image.

    Both are 0 at first, so a fresh layer returns its input. Source: Perez et al. 2018, with
    gamma as the difference from 1.

    Args:
        num_features: Channels C.
        code_features: Length D of the code.

    Raises:
        ValueError: num_features or code_features is below 1.
    """

    condition = 'code'

    def __init__(self, num_features: int, code_features: int) -> None:
        super().__init__()
        for name, value in (('num_features', num_features), ('code_features', code_features)):
            if value < 1:
                raise ValueError(f'{name} must be >= 1, got {value}')
        self.num_features = num_features
        self.modulation = nn.Linear(code_features, 2 * num_features)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def normalise(self, x: Tensor) -> Tensor:
        """Return x: FiLM alone does not normalise."""
        return x

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Modulate x (N, C, H, W) by code (N, D)."""
        gamma, beta = widen(self.modulation(code))[:, :, None, None].chunk(2, 1)
        return ((1 + gamma) * widen(self.normalise(x)) + beta).to(x.dtype)
