"""NormActRetinaHead against MMDetection's RetinaHead and RetinaSepBNHead."""

import pytest
import torch
from mmdet.models.dense_heads import RetinaHead, RetinaSepBNHead
from torch import nn

from mmdet_frn.layers import FRN, TLU
from mmdet_frn.models import NormActRetinaHead

SIZES = (16, 8, 4, 2, 1)
FRN_TLU = {'norm_cfg': {'type': 'FRN', 'eps': 1e-6}, 'act_cfg': {'type': 'TLU'}}
SHAPE = {'num_classes': 3, 'in_channels': 6, 'feat_channels': 8, 'stacked_convs': 2}
ANCHORS = {
    'type': 'AnchorGenerator',
    'octave_base_scale': 4,
    'scales_per_octave': 3,
    'ratios': [0.5, 1.0, 2.0],
    'strides': [8, 16, 32, 64, 128],
}


def features(batch=2, channels=6):
    torch.manual_seed(1)
    return [torch.randn(batch, channels, size, size) for size in SIZES]


def randomize(module):
    torch.manual_seed(2)
    for p in module.parameters():
        nn.init.normal_(p, std=0.3)


def assert_same_outputs(head, other):
    for level1, level2 in zip(head(features()), other(features()), strict=True):
        for out1, out2 in zip(level1, level2, strict=True):
            torch.testing.assert_close(out1, out2)


def copy_norm(source, target):
    target.load_state_dict(source.state_dict())


def test_shared_norm_is_mmdetections_retina_head():
    norm_cfg = {'type': 'BN'}
    theirs = RetinaHead(**SHAPE, norm_cfg=norm_cfg)
    ours = NormActRetinaHead(**SHAPE, norm_cfg=norm_cfg, share_norm=True)
    randomize(theirs)
    for tower in ('cls_convs', 'reg_convs'):
        for conv1, conv2 in zip(getattr(theirs, tower), getattr(ours, tower), strict=True):
            conv2.conv.load_state_dict(conv1.conv.state_dict())
            assert len(conv2.norms) == 1
            copy_norm(conv1.norm, conv2.norms[0])
    ours.retina_cls.load_state_dict(theirs.retina_cls.state_dict())
    ours.retina_reg.load_state_dict(theirs.retina_reg.state_dict())
    assert_same_outputs(theirs, ours)


def test_norm_per_level_is_mmdetections_sep_bn_head():
    norm_cfg = {'type': 'BN'}
    theirs = RetinaSepBNHead(**SHAPE, num_ins=5, norm_cfg=norm_cfg, anchor_generator=ANCHORS)
    ours = NormActRetinaHead(**SHAPE, norm_cfg=norm_cfg)
    randomize(theirs)
    for tower in ('cls_convs', 'reg_convs'):
        for i, conv2 in enumerate(getattr(ours, tower)):
            conv2.conv.load_state_dict(getattr(theirs, tower)[0][i].conv.state_dict())
            for level in range(5):
                copy_norm(getattr(theirs, tower)[level][i].norm, conv2.norms[level])
    ours.retina_cls.load_state_dict(theirs.retina_cls.state_dict())
    ours.retina_reg.load_state_dict(theirs.retina_reg.state_dict())
    assert_same_outputs(theirs, ours)
    # The same parameters, each with one owner.
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    names = [n for n, _ in ours.named_parameters(remove_duplicate=False)]
    assert len(names) == len(list(ours.named_parameters()))


def test_without_norm_the_convolutions_have_biases():
    head = NormActRetinaHead(**SHAPE)
    assert all(conv.conv.bias is not None for conv in head.cls_convs)
    head(features())


def test_initial_weights_are_those_of_retinanet():
    head = NormActRetinaHead(**{**SHAPE, 'feat_channels': 64}, **FRN_TLU)
    head.init_weights()
    assert head.cls_convs[1].conv.weight.std().item() == pytest.approx(0.01, rel=0.05)
    prior = torch.sigmoid(head.retina_cls.bias.detach())
    torch.testing.assert_close(prior, torch.full_like(prior, 0.01))


def test_frn_has_a_threshold_for_each_level_and_trains_all():
    head = NormActRetinaHead(**SHAPE, **FRN_TLU)
    randomize(head)
    assert sum(isinstance(m, FRN) for m in head.modules()) == 2 * 2 * 5
    assert sum(isinstance(m, TLU) for m in head.modules()) == 2 * 2 * 5
    assert not any(isinstance(m, nn.ReLU) for m in head.modules())
    scores, deltas = head(features())
    sum((out * torch.randn_like(out)).sum() for out in scores + deltas).backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == []


def test_wrong_number_of_levels_is_named():
    head = NormActRetinaHead(**SHAPE, **FRN_TLU)
    with pytest.raises(ValueError, match='anchors for 5 levels but got 4'):
        head(features()[:4])


def test_channel_mismatch_is_named():
    act_cfg = {'type': 'TLU', 'num_features': 5}
    head = NormActRetinaHead(**SHAPE, norm_cfg=FRN_TLU['norm_cfg'], act_cfg=act_cfg)
    with pytest.raises(ValueError, match=r'tau must have one element per channel, \(8,\)'):
        head(features())
