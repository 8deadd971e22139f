"""Detector parts, registered with MMDetection."""

from .backbones import NormActResNet
from .dense_heads import NormActRetinaHead
from .necks import NormActFPN

__all__ = ['NormActFPN', 'NormActResNet', 'NormActRetinaHead']
