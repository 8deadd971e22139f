"""The ops as functions; :mod:`mmdet_frn.ops.reference` holds the plain PyTorch of each."""

from .affine_tlu import affine_tlu
from .dyt import dyt
from .evonorm import evonorm_s0
from .frn import frn, frn_tlu
from .group_norm import group_norm
from .library import is_compiled
from .tlu import tlu

__all__ = [
    'affine_tlu',
    'dyt',
    'evonorm_s0',
    'frn',
    'frn_tlu',
    'group_norm',
    'is_compiled',
    'tlu',
]
