"""NormActFPN against MMDetection's FPN."""

import torch
from mmdet.models.necks import FPN

from mmdet_frn.layers import FRN, TLU
from mmdet_frn.models import NormActFPN

LEVELS = [torch.randn(2, c, s, s) for c, s in ((8, 16), (16, 8), (32, 4))]
SHAPE = {'in_channels': [8, 16, 32], 'out_channels': 8, 'num_outs': 5}


def test_without_activation_it_is_mmdetections_fpn():
    kwargs = {**SHAPE, 'add_extra_convs': 'on_output', 'norm_cfg': {'type': 'BN'}}
    theirs, ours = FPN(**kwargs, no_norm_on_lateral=True), NormActFPN(**kwargs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    for out1, out2 in zip(theirs(LEVELS), ours(LEVELS), strict=True):
        assert torch.equal(out1, out2)


def test_laterals_are_bare_and_outputs_have_norm_and_threshold():
    neck = NormActFPN(
        **SHAPE,
        add_extra_convs='on_output',
        norm_cfg={'type': 'FRN', 'eps': 1e-6},
        act_cfg={'type': 'TLU'},
    )
    assert [type(m) for m in neck.modules() if isinstance(m, (FRN, TLU))] == [FRN, TLU] * 5
    for lateral in neck.lateral_convs:
        assert dict(lateral.named_children()).keys() == {'conv'}
        assert lateral.conv.bias is not None
    outs = neck(LEVELS)
    assert all((out >= 0).all() for out in outs)
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None] == []
