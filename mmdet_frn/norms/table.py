"""The tables of norms, activations and convolutions that configs, benchmarks and tests know."""

from __future__ import annotations

from mmcv.cnn.bricks.conv_ws import ConvWS2d
from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm
from torch import nn

from mmdet_frn.layers import (
    FRN,
    GFRN,
    GRN,
    LFRN,
    LRN,
    MABN,
    SALU,
    TLU,
    AffineTLU,
    BatchRenorm,
    CenteredConv,
    ChannelPReLU,
    Derf,
    DyT,
    EvalNorm,
    EvoNormB0,
    EvoNormS0,
    EvoNormS0a,
    GhostBN,
    LN2d,
    NoNorm,
    PadMaskedFRN,
    PadMaskedGN,
    RMSNorm2d,
    ScaledWSConv,
    SpectralNormConv,
    SwitchableNorm,
    WeightNormConv,
)

from .row import Act, Conv, Norm

# Where tau starts in the configs that name no other value, by docs/results/shapes.md: from 0, where
# TLU is ReLU, whole feature maps stay below their threshold. The paper gives no value; its own
# configs (Table 6) start at 0.
TAU_INIT = -0.5
_TLU = {'type': 'TLU', 'init': TAU_INIT}
# What lets a norm leave out the padding of a batch: the preprocessor that knows it, and zeros for
# FPN's output convolutions to see there, as its laterals have no norm.
_PAD_MASKED = {
    'data_preprocessor': {'type': 'PadMaskedDetDataPreprocessor'},
    'neck': {'conv_cfg': {'type': 'PadMaskedConv'}},
}

ACTS = [
    Act(nn.ReLU, {'type': 'ReLU'}, 'PyTorch'),
    Act(TLU, _TLU, 'Singh and Krishnan 2020, eq. (3)'),
    Act(AffineTLU, {'type': 'AffineTLU', 'init': TAU_INIT}, 'Singh and Krishnan 2020, Table 5'),
    Act(ChannelPReLU, {'type': 'ChannelPReLU'}, 'He et al. 2015; PyTorch'),
]

CONVS = [
    Conv(ConvWS2d, {'type': 'ConvWS'}, 'Qiao et al. 2019; MMCV'),
    Conv(ScaledWSConv, {'type': 'ScaledWSConv'}, 'Brock et al. 2021'),
    Conv(CenteredConv, {'type': 'CenteredConv'}, 'Yan et al. 2020'),
    Conv(WeightNormConv, {'type': 'WeightNormConv'}, 'Salimans and Kingma 2016; PyTorch'),
    Conv(SpectralNormConv, {'type': 'SpectralNormConv'}, 'Miyato et al. 2018; PyTorch'),
]

NORMS = [
    Norm('BN', nn.BatchNorm2d, {'type': 'BN'}, True, 'Ioffe and Szegedy 2015; PyTorch'),
    Norm(
        'SyncBN',
        SyncBatchNorm,
        {'type': 'SyncBN'},
        uses_batch=True,
        source='BN over all processes; PyTorch, as registered by MMEngine',
    ),
    Norm('GN', nn.GroupNorm, {'type': 'GN', 'num_groups': 32}, False, 'Wu and He 2018; PyTorch'),
    Norm(
        'LN',
        nn.GroupNorm,
        {'type': 'GN', 'num_groups': 1},
        uses_batch=False,
        source='Ba et al. 2016, over (C, H, W): GN with one group; PyTorch',
    ),
    Norm(
        'IN',
        nn.InstanceNorm2d,
        {'type': 'IN', 'affine': True},
        uses_batch=False,
        source='Ulyanov et al. 2016; PyTorch',
    ),
    Norm(
        'FRN',
        FRN,
        {'type': 'FRN', 'eps': 1e-6},
        uses_batch=False,
        source='Singh and Krishnan 2020, eq. (1)-(2)',
        act_cfg=_TLU,
    ),
    Norm(
        'FRN learned eps',
        FRN,
        {'type': 'FRN', 'eps': 1e-6, 'learnable_eps': True},
        uses_batch=False,
        source='Singh and Krishnan 2020, section 3.3',
        act_cfg=_TLU,
    ),
    Norm(
        'FRN learned eps per channel',
        FRN,
        {'type': 'FRN', 'eps': 1e-6, 'learnable_eps': True, 'eps_per_channel': True},
        uses_batch=False,
        source='Singh and Krishnan 2020, section 3.3',
        act_cfg=_TLU,
    ),
    Norm(
        'GFRN',
        GFRN,
        {'type': 'GFRN', 'num_groups': 32},
        uses_batch=False,
        source='Singh and Krishnan 2020, Table 3',
        act_cfg=_TLU,
    ),
    Norm(
        'LFRN',
        LFRN,
        {'type': 'LFRN'},
        uses_batch=False,
        source='Singh and Krishnan 2020, Table 3',
        act_cfg=_TLU,
    ),
    Norm(
        'EvoNorm-S0',
        EvoNormS0,
        {'type': 'EvoNormS0', 'num_groups': 32},
        uses_batch=False,
        source='Liu et al. 2020, Table 2',
    ),
    Norm(
        'EvoNorm-S0a',
        EvoNormS0a,
        {'type': 'EvoNormS0a', 'num_groups': 32},
        uses_batch=False,
        source='Liu et al. 2020, Table 2; timm',
    ),
    Norm('EvoNorm-B0', EvoNormB0, {'type': 'EvoNormB0'}, True, 'Liu et al. 2020, Table 2'),
    Norm('LN2d', LN2d, {'type': 'LN2d'}, False, 'Ba et al. 2016; Liu et al. 2022'),
    Norm('RMSNorm2d', RMSNorm2d, {'type': 'RMSNorm2d'}, False, 'Zhang and Sennrich 2019'),
    Norm(
        'GRN',
        GRN,
        {'type': 'GRN'},
        uses_batch=False,
        source='Woo et al. 2023, Algorithm 1',
        zero_init=False,
    ),
    Norm('DyT', DyT, {'type': 'DyT'}, False, 'Zhu et al. 2025'),
    Norm('Derf', Derf, {'type': 'Derf'}, False, 'Chen et al. 2025, eq. (10)'),
    Norm('SALU', SALU, {'type': 'SALU'}, False, 'Zaied 2026, eq. (1)'),
    Norm('LRN', LRN, {'type': 'LRN'}, False, 'Krizhevsky et al. 2012, section 3.3; PyTorch'),
    Norm(
        'GhostBN',
        GhostBN,
        {'type': 'GhostBN', 'virtual_batch': 2},
        uses_batch=True,
        source='Hoffer et al. 2017, Algorithm 1',
    ),
    Norm('BatchRenorm', BatchRenorm, {'type': 'BatchRenorm'}, True, 'Ioffe 2017, Algorithm 1'),
    Norm('EvalNorm', EvalNorm, {'type': 'EvalNorm'}, True, 'Singh and Shrivastava 2019'),
    Norm('MABN', MABN, {'type': 'MABN'}, True, 'Yan et al. 2020'),
    Norm(
        'SwitchableNorm',
        SwitchableNorm,
        {'type': 'SwitchableNorm'},
        uses_batch=True,
        source='Luo et al. 2019, eq. (3)-(5)',
    ),
    Norm('NoNorm', NoNorm, {'type': 'NoNorm'}, False, 'De and Smith 2020', zero_init=False),
    Norm(
        'FRN pad-masked',
        PadMaskedFRN,
        {'type': 'PadMaskedFRN', 'eps': 1e-6},
        uses_batch=False,
        source='FRN without the padding of a batch',
        act_cfg=_TLU,
        model=_PAD_MASKED,
    ),
    Norm(
        'GN pad-masked',
        PadMaskedGN,
        {'type': 'PadMaskedGN', 'num_groups': 32},
        uses_batch=False,
        source='GN without the padding of a batch',
        model=_PAD_MASKED,
    ),
]
