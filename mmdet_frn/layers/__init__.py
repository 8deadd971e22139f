"""FRN and TLU as layers, registered with MMCV's builders and usable in its ConvModule."""

from . import conv_module as _conv_module  # noqa: F401
from .frn import FRN
from .norm_act import build_activation, norm_act
from .shared_conv import SharedConv
from .tlu import TLU

__all__ = ['FRN', 'TLU', 'SharedConv', 'build_activation', 'norm_act']
