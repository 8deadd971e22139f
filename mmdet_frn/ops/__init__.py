"""The ops as functions; :mod:`mmdet_frn.ops.reference` holds the plain PyTorch of each."""

from .frn import frn, frn_tlu
from .group_norm import group_norm
from .library import is_compiled
from .tlu import tlu

__all__ = ['frn', 'frn_tlu', 'group_norm', 'is_compiled', 'tlu']
