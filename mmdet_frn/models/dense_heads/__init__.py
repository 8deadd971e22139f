"""Dense heads whose norm and activation come from the config."""

from .retina_head import NormActRetinaHead

__all__ = ['NormActRetinaHead']
