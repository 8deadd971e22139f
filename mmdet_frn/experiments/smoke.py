"""Smoke runs: Table 6 with steps, resolution, network and dataset shrunk together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmdet_frn.datasets.coco_file import read_coco
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.files import write_text_atomic

from .scaling import scale_steps

# Of COCO 2017. A smoke run takes its share of these, which leaves a smaller set whole.
COCO_IMAGES = {'train': 118287, 'val': 5000}
_FULL_SIDE = 1024


@dataclass(frozen=True)
class Network:
    """Size of a RetinaNet: ResNet depth and width, channels and convolutions of neck and head."""

    depth: int
    base_channels: int
    channels: int
    stacked_convs: int

    @property
    def name(self) -> str:
        """Name for people."""
        width = '' if self.base_channels == 64 else f' at {self.base_channels}/64 of its width'
        return f'ResNet-{self.depth}{width}, {self.channels} channels in neck and head'


# The scale down to which each is used.
_NETWORKS = {
    0.5: Network(101, 64, 256, 4),
    0.05: Network(50, 64, 256, 4),
    0.005: Network(18, 64, 256, 4),
    0.0: Network(18, 32, 64, 2),
}


@dataclass(frozen=True)
class Scale:
    """How far a smoke run is from the paper's protocol.

    With ``factor`` S, steps are multiplied by S, the images' side by S^(1/4), the number of images
    by S^(1/2), and the network is the largest of four that S admits.

    Args:
        factor: S, above 0 and at most 1, which is the paper's protocol.

    Raises:
        UsageError: ``factor`` is out of range.
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.factor <= 1:
            raise UsageError(f'--scale must be > 0 and <= 1, got {self.factor:g}')

    @property
    def side(self) -> int:
        """Side of the input in pixels, a multiple of 32 from 64 on."""
        return max(64, round(_FULL_SIDE * self.factor**0.25 / 32) * 32)

    @property
    def network(self) -> Network:
        """The network."""
        return next(net for least, net in _NETWORKS.items() if self.factor >= least)

    def images(self, split: str) -> int | None:
        """Most images of 'train' or 'val' to use; None for all."""
        if self.factor == 1:
            return None
        return max(32, round(COCO_IMAGES[split] * self.factor**0.5))

    @property
    def title(self) -> str:
        """What every title says of it; empty for the paper's protocol."""
        if self.factor == 1:
            return ''
        return f"smoke run at scale {self.factor:g}, not the paper's protocol"

    @property
    def note(self) -> str:
        """What it shrinks, in a sentence; empty for the paper's protocol."""
        if self.factor == 1:
            return ''
        return (
            f'{self.title[0].upper()}{self.title[1:]}: {self.factor:g} of the steps, '
            f'{self.side}x{self.side} pixels, {self.network.name}, at most {self.images("train")} '
            f'training and {self.images("val")} validation images, BN* '
            f'{"from ImageNet" if self._has_weights else "without ImageNet weights"}.'
        )

    @property
    def _has_weights(self) -> bool:
        return self.network.base_channels == 64

    def apply(self, cfg: Config) -> None:
        """Shrink steps, resolution and network of a Table 6 config, in place."""
        if self.factor == 1:
            return
        scale_steps(cfg, self.factor)
        logger = cfg.default_hooks.logger
        logger.interval = max(1, round(logger.interval * self.factor))
        for split in ('train', 'val', 'test'):
            for transform in cfg[f'{split}_dataloader'].dataset.pipeline:
                for key in ('scale', 'crop_size'):
                    if key in transform:
                        transform[key] = (self.side, self.side)
        model, net = cfg.model, self.network
        model.data_preprocessor.pad_size_divisor = self.side
        expansion = 4 if net.depth >= 50 else 1
        model.backbone.depth = net.depth
        model.backbone.base_channels = net.base_channels
        model.neck.in_channels = [net.base_channels * expansion * 2**i for i in range(4)]
        model.neck.out_channels = net.channels
        model.bbox_head.in_channels = model.bbox_head.feat_channels = net.channels
        model.bbox_head.stacked_convs = net.stacked_convs
        init_cfg = model.backbone.get('init_cfg') or {}
        if init_cfg.get('type') == 'Pretrained':
            model.backbone.init_cfg = (
                dict(init_cfg, checkpoint=f'torchvision://resnet{net.depth}')
                if self._has_weights
                else None
            )


def use_subsets(cfg: Config, scale: Scale, folder: Path) -> None:
    """Make ``cfg`` train and evaluate on the first images of its sets.

    ``cfg.subsets`` says what :func:`write_subsets` has to write.

    Args:
        cfg: Config with CocoDatasets; changed in place. Relative annotation files lie below
            ``data_root``, as MMDetection has it.
        scale: Says how many images.
        folder: Where the annotations of the subsets go.
    """
    subsets = {}
    for split in ('train', 'val', 'test'):
        most = scale.images('train' if split == 'train' else 'val')
        if most is None:
            return
        dataset = cfg[f'{split}_dataloader'].dataset
        source = Path(dataset.get('data_root') or '', dataset.ann_file)
        # Absolute, since MMDetection would look for it below data_root.
        subset = str((folder / f'{source.stem}_first{most}.json').absolute())
        subsets[subset] = (str(source), most)
        dataset.ann_file = subset
        if split != 'train':
            cfg[f'{split}_evaluator'].ann_file = subset
    cfg.subsets = subsets


def write_subsets(cfg: Config) -> None:
    """Write the annotation files that :func:`use_subsets` named, unless they are there."""
    for subset, (source, most) in cfg.get('subsets', {}).items():
        if not Path(subset).is_file():
            Path(subset).parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(Path(subset), json.dumps(_first(read_coco(source), most)))


def _first(content: dict, most: int) -> dict:
    images = sorted(content['images'], key=lambda image: image['id'])[:most]
    kept = {image['id'] for image in images}
    annotations = [a for a in content['annotations'] if a['image_id'] in kept]
    return {**content, 'images': images, 'annotations': annotations}
