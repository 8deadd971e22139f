"""Conditional batch normalization (de Vries et al., NeurIPS 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from mmdet_frn.registry import NORM_LAYERS

from .film import FiLM


@NORM_LAYERS.register_module()
class CBN(FiLM):
    """(gamma + dgamma(c)) * x_hat + beta + dbeta(c), x_hat as in BN, c a code of the image.

    A fresh layer is BN. gamma and beta are the bias of the linear layer that predicts dgamma and
    dbeta. Source: de Vries et al. 2017.

    Args:
        num_features: Channels C.
        code_features: Length D of the code.
        eps: Default 1e-5, PyTorch's.
        momentum: Share of the new batch in the running statistics. Default 0.1, PyTorch's.
    """

    def __init__(
        self, num_features: int, code_features: int, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__(num_features, code_features)
        self.norm = nn.BatchNorm2d(num_features, eps, momentum, affine=False)

    def normalise(self, x: Tensor) -> Tensor:
        """Return x_hat; running averages in evaluation."""
        return self.norm(x)
