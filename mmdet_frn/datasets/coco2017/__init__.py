"""COCO 2017: is a folder of it complete, and fetching what it lacks."""

from .prepare import prepare_coco
from .table import COCO2017, Archive, CocoTable, Split

__all__ = ['COCO2017', 'Archive', 'CocoTable', 'Split', 'prepare_coco']
