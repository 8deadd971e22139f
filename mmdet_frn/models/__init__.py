"""Detector parts, registered with MMDetection."""

from .backbones import NFResNet, NormActResNet
from .data_preprocessors import PadMaskedDetDataPreprocessor
from .dense_heads import NormActRetinaHead
from .necks import ConditionNeck, NormActFPN

__all__ = [
    'ConditionNeck',
    'NFResNet',
    'NormActFPN',
    'NormActResNet',
    'NormActRetinaHead',
    'PadMaskedDetDataPreprocessor',
]
