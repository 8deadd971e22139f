"""FLOPs of the fused norms against MMEngine's own of GN."""

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.analysis import FlopAnalyzer

from mmdet_frn import ops


@pytest.mark.skipif(not ops.is_compiled(), reason='the reference is made of ATen operators')
@pytest.mark.parametrize('act', ['TLU', 'ReLU'])
def test_frn_counts_as_many_flops_as_gn_with_relu(act):
    def flops(norm, act):
        block = ConvModule(3, 8, 3, norm_cfg=norm, act_cfg={'type': act}).eval()
        counter = FlopAnalyzer(block, torch.zeros(2, 3, 9, 11))
        counter.total()
        return counter

    frn, gn = flops({'type': 'FRN'}, act), flops({'type': 'GN', 'num_groups': 4}, 'ReLU')
    assert frn.total() == gn.total()
    assert frn.by_operator()['frn'] == 2 * 8 * 7 * 9 * 5
    assert not frn.unsupported_ops()
    grouped = flops({'type': 'GFRN', 'num_groups': 4}, act)
    assert grouped.total() == gn.total()
