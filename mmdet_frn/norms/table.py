"""The table: every norm and activation that configs, labels, decay, benchmarks and tests know."""

from __future__ import annotations

from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm
from torch import nn

from mmdet_frn.layers import FRN, TLU

from .row import Act, Norm

# Where tau starts in the configs that name no other value, by docs/results/shapes.md: from 0, where
# TLU is ReLU, whole feature maps stay below their threshold. The paper gives no value; its own
# configs (Table 6) start at 0.
TAU_INIT = -0.5

ACTS = [
    Act(nn.ReLU, {'type': 'ReLU'}, 'PyTorch'),
    Act(TLU, {'type': 'TLU'}, 'Singh and Krishnan 2020, eq. (3)'),
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
        act_cfg={'type': 'TLU', 'init': TAU_INIT},
    ),
    Norm(
        'FRN learned eps',
        FRN,
        {'type': 'FRN', 'eps': 1e-6, 'learnable_eps': True},
        uses_batch=False,
        source='Singh and Krishnan 2020, section 3.3',
        act_cfg={'type': 'TLU', 'init': TAU_INIT},
    ),
]
