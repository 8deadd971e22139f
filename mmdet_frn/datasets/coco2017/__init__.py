"""COCO 2017: checks whether a folder of it is complete, and downloads what is missing."""

from .prepare import prepare_coco

__all__ = ['prepare_coco']
