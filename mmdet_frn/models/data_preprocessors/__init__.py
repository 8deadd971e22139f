"""Data preprocessors."""

from .pad_masked import PadMaskedDetDataPreprocessor

__all__ = ['PadMaskedDetDataPreprocessor']
