"""Backbones whose norm and activation come from the config."""

from .nf_resnet import NFResNet
from .resnet import NormActResNet

__all__ = ['NFResNet', 'NormActResNet']
