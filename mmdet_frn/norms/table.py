"""The tables of norms, activations and convolutions that configs, benchmarks and tests know."""

from __future__ import annotations

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
_FRN = {'type': 'FRN', 'eps': 1e-6}
_LEARNED = {**_FRN, 'learnable_eps': True}
_FRN_PAPER = 'Singh and Krishnan 2020'
_EVONORMS = 'Liu et al. 2020, Table 2'

ACTS = [
    Act({'type': 'ReLU'}, 'PyTorch'),
    Act(_TLU, f'{_FRN_PAPER}, eq. (3)'),
    Act({'type': 'AffineTLU', 'init': TAU_INIT}, f'{_FRN_PAPER}, Table 5'),
    Act({'type': 'ChannelPReLU'}, 'He et al. 2015; PyTorch'),
]

CONVS = [
    Conv('ConvWS', 'Qiao et al. 2019; MMCV'),
    Conv('ScaledWSConv', 'Brock et al. 2021'),
    Conv('CenteredConv', 'Yan et al. 2020'),
    Conv('WeightNormConv', 'Salimans and Kingma 2016; PyTorch'),
    Conv('SpectralNormConv', 'Miyato et al. 2018; PyTorch'),
]

NORMS = [
    Norm('BN', {'type': 'BN'}, 'Ioffe and Szegedy 2015; PyTorch', uses_batch=True),
    Norm('SyncBN', {'type': 'SyncBN'}, 'BN over all processes; PyTorch', uses_batch=True),
    Norm('GN', {'type': 'GN', 'num_groups': 32}, 'Wu and He 2018; PyTorch'),
    Norm('LN', {'type': 'GN', 'num_groups': 1}, 'Ba et al. 2016, over (C, H, W); PyTorch'),
    Norm('IN', {'type': 'IN', 'affine': True}, 'Ulyanov et al. 2016; PyTorch'),
    Norm('FRN', _FRN, f'{_FRN_PAPER}, eq. (1)-(2)', _TLU),
    Norm('FRN learned eps', _LEARNED, f'{_FRN_PAPER}, section 3.3', _TLU),
    Norm(
        'FRN learned eps per channel',
        {**_LEARNED, 'eps_per_channel': True},
        f'{_FRN_PAPER}, section 3.3',
        _TLU,
    ),
    Norm('GFRN', {'type': 'GFRN', 'num_groups': 32}, f'{_FRN_PAPER}, Table 3', _TLU),
    Norm('LFRN', {'type': 'LFRN'}, f'{_FRN_PAPER}, Table 3', _TLU),
    Norm('EvoNorm-S0', {'type': 'EvoNormS0', 'num_groups': 32}, _EVONORMS),
    Norm('EvoNorm-S0a', {'type': 'EvoNormS0a', 'num_groups': 32}, f'{_EVONORMS}; timm'),
    Norm('EvoNorm-B0', {'type': 'EvoNormB0'}, _EVONORMS, uses_batch=True),
    Norm('LN2d', {'type': 'LN2d'}, 'Ba et al. 2016; Liu et al. 2022'),
    Norm('RMSNorm2d', {'type': 'RMSNorm2d'}, 'Zhang and Sennrich 2019'),
    Norm('GRN', {'type': 'GRN'}, 'Woo et al. 2023, Algorithm 1', zero_init=False),
    Norm('DyT', {'type': 'DyT'}, 'Zhu et al. 2025'),
    Norm('Derf', {'type': 'Derf'}, 'Chen et al. 2025, eq. (10)'),
    Norm('SALU', {'type': 'SALU'}, 'Zaied 2026, eq. (1)'),
    Norm('LRN', {'type': 'LRN'}, 'Krizhevsky et al. 2012, section 3.3; PyTorch'),
    Norm(
        'GhostBN',
        {'type': 'GhostBN', 'virtual_batch': 2},
        'Hoffer et al. 2017, Algorithm 1',
        uses_batch=True,
    ),
    Norm('BatchRenorm', {'type': 'BatchRenorm'}, 'Ioffe 2017, Algorithm 1', uses_batch=True),
    Norm('EvalNorm', {'type': 'EvalNorm'}, 'Singh and Shrivastava 2019', uses_batch=True),
    Norm('MABN', {'type': 'MABN'}, 'Yan et al. 2020', uses_batch=True),
    Norm(
        'SwitchableNorm',
        {'type': 'SwitchableNorm'},
        'Luo et al. 2019, eq. (3)-(5)',
        uses_batch=True,
    ),
    Norm('NoNorm', {'type': 'NoNorm'}, 'De and Smith 2020', zero_init=False),
    Norm(
        'FRN pad-masked',
        {'type': 'PadMaskedFRN', 'eps': 1e-6},
        'FRN without the padding of a batch',
        _TLU,
        model=_PAD_MASKED,
    ),
    Norm(
        'GN pad-masked',
        {'type': 'PadMaskedGN', 'num_groups': 32},
        'GN without the padding of a batch',
        model=_PAD_MASKED,
    ),
]
