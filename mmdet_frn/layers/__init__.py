"""Norms and activations, registered with MMCV's builders and usable in its ConvModule."""

from . import conv_module as _conv_module  # noqa: F401
from .ada_ln import AdaLN
from .affine_tlu import AffineTLU
from .batch_norm import BatchNormConverted, frn_from_batch_norm
from .batch_renorm import BatchRenorm
from .cbn import CBN
from .centered_conv import CenteredConv
from .channel_affine import ChannelAffine
from .channel_prelu import ChannelPReLU
from .dyt import Derf, DyT
from .eval_norm import EvalNorm
from .evonorm import EvoNormB0, EvoNormS0, EvoNormS0a
from .film import FiLM
from .frn import FRN
from .gain import Gain, SkipInit
from .gfrn import GFRN, LFRN
from .ghost_bn import GhostBN
from .grn import GRN
from .lrn import LRN
from .mabn import MABN
from .no_norm import NoNorm
from .norm_act import build_act, build_activation, contains_act, norm_act
from .pad_masked import PadMasked, PadMaskedConv, PadMaskedFRN, PadMaskedGN, PadMaskedMaxPool
from .padding import set_image_sizes
from .parametrized_conv import SpectralNormConv, WeightNormConv
from .pixel_norms import LN2d, RMSNorm2d
from .prior import Prior, prior_of
from .qk_norm import QKNorm, QKNormAttention
from .salu import SALU
from .scaled_ws_conv import ScaledWSConv
from .shared_conv import SharedConv
from .spade import SPADE
from .switchable_norm import SwitchableNorm
from .tlu import TLU

__all__ = [
    'CBN',
    'FRN',
    'GFRN',
    'GRN',
    'LFRN',
    'LRN',
    'MABN',
    'SALU',
    'SPADE',
    'TLU',
    'AdaLN',
    'AffineTLU',
    'BatchNormConverted',
    'BatchRenorm',
    'CenteredConv',
    'ChannelAffine',
    'ChannelPReLU',
    'Derf',
    'DyT',
    'EvalNorm',
    'EvoNormB0',
    'EvoNormS0',
    'EvoNormS0a',
    'FiLM',
    'Gain',
    'GhostBN',
    'LN2d',
    'NoNorm',
    'PadMasked',
    'PadMaskedConv',
    'PadMaskedFRN',
    'PadMaskedGN',
    'PadMaskedMaxPool',
    'Prior',
    'QKNorm',
    'QKNormAttention',
    'RMSNorm2d',
    'ScaledWSConv',
    'SharedConv',
    'SkipInit',
    'SpectralNormConv',
    'SwitchableNorm',
    'WeightNormConv',
    'build_act',
    'build_activation',
    'contains_act',
    'frn_from_batch_norm',
    'norm_act',
    'prior_of',
    'set_image_sizes',
]
