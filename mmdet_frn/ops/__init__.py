"""FRN and TLU as functions; :mod:`mmdet_frn.ops.reference` holds the plain PyTorch of each."""

from .frn import frn, frn_tlu
from .library import is_compiled
from .tlu import tlu

__all__ = ['frn', 'frn_tlu', 'is_compiled', 'tlu']
