"""Detector parts, registered with MMDetection."""

from .backbones import NFResNet, NormActResNet
from .data_preprocessors import PadMaskedDetDataPreprocessor
from .dense_heads import NormActRetinaHead
from .necks import NormActFPN

__all__ = [
    'NFResNet',
    'NormActFPN',
    'NormActResNet',
    'NormActRetinaHead',
    'PadMaskedDetDataPreprocessor',
]
