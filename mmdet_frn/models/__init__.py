"""Detector parts, registered with MMDetection."""

from .backbones import NFResNet, NormActResNet
from .dense_heads import NormActRetinaHead
from .necks import NormActFPN

__all__ = ['NFResNet', 'NormActFPN', 'NormActResNet', 'NormActRetinaHead']
