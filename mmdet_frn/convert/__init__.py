"""BN checkpoints and models become FRN."""

from .config import convert_cfg
from .convert import convert
from .detector import convert_detector
from .leftovers import MixedLayers
from .report import Report

__all__ = ['MixedLayers', 'Report', 'convert', 'convert_cfg', 'convert_detector']
