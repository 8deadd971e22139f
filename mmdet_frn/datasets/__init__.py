"""Datasets: a generated detection set, finding a user's COCO-format folder, and checks of both."""

from .check import CocoSummary, check_coco
from .check_config import check_cfg
from .coco_file import DatasetError
from .coco_folder import CocoFolder, find_coco
from .folds import write_folds, write_search_split
from .shapes import CLASSES, write_shapes
from .use_folder import use_coco_folder

__all__ = [
    'CLASSES',
    'CocoFolder',
    'CocoSummary',
    'DatasetError',
    'check_cfg',
    'check_coco',
    'find_coco',
    'use_coco_folder',
    'write_folds',
    'write_search_split',
    'write_shapes',
]
