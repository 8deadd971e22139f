"""Norms and activations, registered with MMCV's builders and usable in its ConvModule."""

from . import conv_module as _conv_module  # noqa: F401
from .batch_norm import BatchNormConverted, frn_from_batch_norm
from .frn import FRN
from .norm_act import build_act, build_activation, contains_act, norm_act
from .prior import Prior, prior_of
from .shared_conv import SharedConv
from .tlu import TLU

__all__ = [
    'FRN',
    'TLU',
    'BatchNormConverted',
    'Prior',
    'SharedConv',
    'build_act',
    'build_activation',
    'contains_act',
    'frn_from_batch_norm',
    'norm_act',
    'prior_of',
]
