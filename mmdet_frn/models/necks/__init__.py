"""Necks whose norm and activation come from the config."""

from .fpn import NormActFPN

__all__ = ['NormActFPN']
