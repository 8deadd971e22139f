"""Local response normalization (Krizhevsky et al., NeurIPS 2012)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mmdet_frn.registry import NORM_LAYERS

from .affine_norm import AffineNorm
from .wide import affine, widen


@NORM_LAYERS.register_module()
class LRN(AffineNorm):
    """weight * x / (k + alpha * mean(x^2))^beta + bias, the mean over ``size`` channels around one.

    PyTorch's ``local_response_norm`` with a scale and shift, which the source lacks. Channels that
    do not exist count as zeros. Source: Krizhevsky et al. 2012, section 3.3, whose sum over 5
    channels with alpha = 1e-4 is alpha = 5e-4 here. With PyTorch's defaults it leaves inputs of
    unit scale almost unchanged; ``k=0, beta=0.5, alpha=1`` divides by the root of the mean.

    Args:
        num_features: Channels C.
        size: Neighbouring channels of the mean. Default 5, the source's.
        alpha: Default 1e-4, PyTorch's.
        beta: Default 0.75, the source's and PyTorch's.
        k: Default 1, PyTorch's; the source has 2.
        eps: Accepted because MMCV's builder passes it; without effect.

    Raises:
        ValueError: size is below 1.
    """

    _abbr_ = 'lrn'

    def __init__(
        self,
        num_features: int,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        eps: float = 0.0,
    ) -> None:
        super().__init__(num_features, eps)
        if size < 1:
            raise ValueError(f'size must be >= 1, got {size}')
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, *)."""
        x_hat = F.local_response_norm(widen(x), self.size, self.alpha, self.beta, self.k)
        return affine(x_hat, self.weight, self.bias, x.dtype)

    def extra_repr(self) -> str:
        """Return the arguments for ``print``."""
        return (
            f'{self.num_features}, size={self.size}, alpha={self.alpha:g}, '
            f'beta={self.beta:g}, k={self.k:g}'
        )
