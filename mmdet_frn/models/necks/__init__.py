"""Necks whose norm and activation come from the config."""

from .condition import ConditionNeck
from .fpn import NormActFPN

__all__ = ['ConditionNeck', 'NormActFPN']
