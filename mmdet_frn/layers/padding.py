"""Which pixels of the batch in the network are image, and which were padded to fill the batch.

A data preprocessor says so (:func:`set_image_sizes`), the layers of :mod:`.pad_masked` read it
(:func:`per_image`): no model passes a mask on. The sizes belong to the process, not to a thread:
a checkpointed block is recomputed in autograd's thread, and torch.compile guards on a plain object
but not on a thread's own. They are forgotten when the batch's tensor is.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass
class _Batch:
    """Height and width of each image, and of the batch that they were padded to."""

    images: tuple[tuple[int, int], ...] | None = None
    padded: tuple[int, int] = (0, 0)
    serial: int = 0


_BATCH = _Batch()


def set_image_sizes(inputs: Tensor, images: Sequence[tuple[int, int]]) -> None:
    """Say how much of each image of a batch is not padding, for as long as ``inputs`` exists.

    Args:
        inputs: The batch (N, C, H, W) that goes into the network next.
        images: Height and width of each of the N images, from the upper left corner.

    Raises:
        ValueError: there are not N sizes, or one is not within (H, W).
    """
    height, width = inputs.shape[-2:]
    if len(images) != len(inputs):
        raise ValueError(f'images must have a size for each of {len(inputs)}, got {len(images)}')
    for h, w in images:
        if not (1 <= h <= height and 1 <= w <= width):
            raise ValueError(f'an image of {h}x{w} is not within its batch of {height}x{width}')
    _BATCH.images = tuple((int(h), int(w)) for h, w in images)
    _BATCH.padded = (height, width)
    _BATCH.serial += 1
    weakref.finalize(inputs, _forget, _BATCH.serial)


def _forget(serial: int) -> None:
    if _BATCH.serial == serial:
        _BATCH.images = None


def _on_map(image: int, padded: int, extent: int, axis: str) -> int:
    """Return how many of a feature map's rows or columns an image covers.

    Layers with stride 2 round up, as ResNet's and FPN's do, so ``extent`` is the padded image's
    over a power of two, rounded up.
    """
    stride = 1
    while -(-padded // stride) > extent:
        stride *= 2
    if -(-padded // stride) != extent:
        raise ValueError(
            f'a feature map of {axis} {extent} is not that of a batch padded to {padded} over a '
            f'power of two, so its padding is unknown; use a norm without mask there'
        )
    return -(-image // stride)


def per_image(
    function: Callable[..., Tensor], x: Tensor, residual: Tensor | None = None, stride: int = 1
) -> Tensor:
    """Apply ``function`` to the part of each feature map that its image covers; 0 elsewhere.

    One call per image: its result does not depend on the padding even in its last bit. Without a
    batch, ``function`` gets the whole of x.

    Args:
        function: Maps (1, C, h, w), or two of these, to (1, C', h', w').
        x: Feature maps (N, C, H, W).
        residual: Cut like x and passed as the second argument, or None as it is.
        stride: Of ``function``: the result is (N, C', H / stride, W / stride), rounded up.

    Raises:
        ValueError: x has not the N of the batch, or its height or width is not that of the batch
            over a power of two.
    """
    if _BATCH.images is None:
        return function(x, residual)
    if x.dim() != 4 or x.shape[0] != len(_BATCH.images):
        raise ValueError(
            f'expected the feature maps (N, C, H, W) of the {len(_BATCH.images)} images of the '
            f'batch, got {tuple(x.shape)}; use a norm without mask for regions and vectors'
        )
    height, width = x.shape[-2:]
    parts = []
    for i, image in enumerate(_BATCH.images):
        h = _on_map(image[0], _BATCH.padded[0], height, 'height')
        w = _on_map(image[1], _BATCH.padded[1], width, 'width')
        part = function(*(None if t is None else t[i : i + 1, :, :h, :w] for t in (x, residual)))
        below = -(-height // stride) - part.shape[-2]
        beside = -(-width // stride) - part.shape[-1]
        parts.append(F.pad(part, (0, beside, 0, below)))
    return torch.cat(parts)
