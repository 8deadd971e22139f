"""The maps that a detector normalises, read off the detector itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

NORMS = (nn.BatchNorm2d, nn.GroupNorm)
_PLACES = (
    (r'backbone\.layer(\d)', 1, 'C{}'),
    (r'backbone\.', 0, 'stem'),
    (r'neck\.fpn_convs\.(\d)', 3, 'P{}'),
    (r'bbox_head\..*\.norms\.(\d)', 3, 'P{}'),
)


@dataclass(frozen=True)
class Map:
    """A map of one image, and where in the detector a norm meets it.

    ``calls`` counts those norms; it is 0 for a map that is not of a detector.
    """

    channels: int
    height: int
    width: int
    calls: int = 0
    places: str = ''

    @property
    def name(self) -> str:
        """``256x128x128``, channels first."""
        return f'{self.channels}x{self.height}x{self.width}'

    @property
    def elements(self) -> int:
        """Elements of one image's map."""
        return self.channels * self.height * self.width


# So small that what is timed is the work before and after the kernel.
TINY = Map(8, 4, 4, places='cost of a call')


def find_maps(cfg: Config, size: int) -> list[Map]:
    """Run a detector without data, and note the input of every norm.

    Args:
        cfg: Config of a detector with BN or GN throughout (FRN may run fused with a TLU, without
            a call of its own module).
        size: Height and width of its input.

    Returns:
        The distinct maps, in the order in which the detector meets them.
    """
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()  # a BN in training refuses a 1x1 map
    seen: dict[tuple[int, ...], list[str]] = {}

    def note(place: str) -> object:
        return lambda _, args: seen.setdefault(tuple(args[0].shape[1:]), []).append(place)

    for name, module in model.named_modules():
        if isinstance(module, NORMS):
            module.register_forward_pre_hook(note(_place(name)))
    with torch.no_grad():
        _run(model, torch.empty(1, 3, size, size, device='meta'))
    return [
        Map(*shape, calls=len(places), places=' '.join(dict.fromkeys(places)))
        for shape, places in seen.items()
    ]


def _run(model: nn.Module, images: Tensor) -> None:
    model.bbox_head(model.neck(model.backbone(images)))


def _place(module: str) -> str:
    """Stage or pyramid level of a module: stem, C2 to C5, P3 to P7."""
    for pattern, offset, label in _PLACES:
        match = re.match(pattern, module)
        if match:
            return label.format(*(int(group) + offset for group in match.groups()))
    return module
