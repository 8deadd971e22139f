"""Putting a COCO-format folder in the place of the datasets that a config names."""

from __future__ import annotations

from mmengine.config import Config

from .coco_folder import CocoFolder


def use_coco_folder(cfg: Config, folder: CocoFolder) -> None:
    """Make ``cfg`` train on the folder's training part and evaluate on its evaluation part.

    Changes the three dataloaders, the evaluators and the box head's ``num_classes``; pipelines and
    all else stay.

    Args:
        cfg: Config of a single-stage detector with CocoDatasets; changed in place.
        folder: What :func:`~mmdet_frn.datasets.find_coco` found.
    """
    parts = {
        'train': (folder.train_ann, folder.train_img),
        'val': (folder.val_ann, folder.val_img),
        'test': (folder.val_ann, folder.val_img),
    }
    for split, (ann_file, img_dir) in parts.items():
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = ''
        dataset.ann_file = str(ann_file)
        dataset.data_prefix = dict(img=f'{img_dir}/')
        dataset.metainfo = dict(classes=folder.classes)
        if split != 'train':
            cfg[f'{split}_evaluator'].ann_file = str(ann_file)
    cfg.model.bbox_head.num_classes = len(folder.classes)
