"""Backbones whose norm and activation come from the config."""

from .resnet import NormActResNet

__all__ = ['NormActResNet']
