"""The first images of a COCO annotation file, for trials."""

from __future__ import annotations

import json
from pathlib import Path

from mmengine.config import Config

from mmdet_frn.datasets.coco_file import read_coco
from mmdet_frn.utils.files import write_text_atomic

from .shrink import Scale


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
