"""FRN, GN, convolution and max pooling that leave out the pixels padded to fill a batch.

With ``PadMaskedDetDataPreprocessor`` an image's result is the same however far its batch was
padded. Norms take their statistics over the image alone and return zeros in the padding, after the
activation too. A convolution sees zeros beyond the image, as at the border of a batch of its own;
it is needed where its input has no such norm, as after FPN's laterals. Without that preprocessor
each is its unmasked layer.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmdet_frn.registry import CONV_LAYERS, NORM_LAYERS

from .frn import FRN
from .padding import per_image
from .tlu import TLU


class PadMasked(nn.Module):
    """What both norms share: activation and residual within the image, zeros beyond it."""

    def plain(self, x: Tensor) -> Tensor:
        """Normalise the whole of x."""
        return super().forward(x)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, H, W) within each image."""
        return per_image(lambda part, _: self.plain(part), x)

    def fuses(self, act: nn.Module) -> bool:
        """Return True: an activation may map 0 to something else, as a TLU does."""
        return True

    def act_within(self, x: Tensor, act: nn.Module, residual: Tensor | None) -> Tensor:
        """Return act(norm(x) [+ residual]) of one image."""
        out = self.plain(x)
        return act(out if residual is None else out + residual)

    def forward_act(self, x: Tensor, act: nn.Module, residual: Tensor | None = None) -> Tensor:
        """Return act(norm(x) [+ residual]) within each image; its hooks may not fire."""
        return per_image(lambda part, cut: self.act_within(part, act, cut), x, residual)


@NORM_LAYERS.register_module()
class PadMaskedFRN(PadMasked, FRN):  # type: ignore[misc]  # forward takes no tau: see act_within
    """FRN whose mean of squares leaves out the pixels that were padded to fill the batch.

    An image's output is bitwise the same however far its batch was padded.

    Args:
        kwargs: As for :class:`FRN`.
    """

    def act_within(self, x: Tensor, act: nn.Module, residual: Tensor | None) -> Tensor:
        """Return act(frn(x) [+ residual]) of one image, in one op for a TLU."""
        if isinstance(act, TLU):
            return FRN.forward(self, x, act.tau, residual)
        return super().act_within(x, act, residual)


@NORM_LAYERS.register_module()
class PadMaskedGN(PadMasked, nn.GroupNorm):
    """GroupNorm whose mean and variance leave out the pixels that were padded to fill the batch.

    Args:
        num_features: Channels C.
        num_groups: Groups of neighbouring channels. Default 32, the paper's.
        eps: Default 1e-5, PyTorch's.
    """

    _abbr_ = 'gn'

    def __init__(self, num_features: int, num_groups: int = 32, eps: float = 1e-5) -> None:
        super().__init__(num_groups, num_features, eps)


@CONV_LAYERS.register_module()
class PadMaskedConv(nn.Conv2d):
    """Convolution whose input is 0 where it was padded to fill the batch: a ``conv_cfg``.

    Args:
        args, kwargs: As for ``torch.nn.Conv2d``. A kernel of 1x1 needs no mask and has none.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x (N, C, H, W)."""
        if self.kernel_size != (1, 1):
            x = per_image(lambda part, _: part, x)
        return super().forward(x)


class PadMaskedMaxPool(nn.MaxPool2d):
    """Max pooling that does not see the padding, which is 0 where a map may be negative.

    Args:
        args, kwargs: As for ``torch.nn.MaxPool2d`` with one stride; output sizes must round up.
    """

    stride: int

    def forward(self, x: Tensor) -> Tensor:
        """Pool x (N, C, H, W)."""
        pool: Any = super().forward
        return per_image(lambda part, _: pool(part), x, stride=self.stride)
