"""NormActResNet against MMDetection's ResNet, and with FRN and TLU."""

import pytest
import torch
from mmdet.models.backbones import ResNet
from torch import nn

from mmdet_frn.layers import FRN, TLU
from mmdet_frn.models import NormActResNet

FRN_TLU = {'norm_cfg': {'type': 'FRN', 'eps': 1e-6}, 'act_cfg': {'type': 'TLU'}}
DCN = {'type': 'DCNv2', 'deform_groups': 1, 'fallback_on_stride': False}
PLUGINS = [
    {'cfg': {'type': 'ContextBlock', 'ratio': 0.25, 'postfix': i}, 'position': f'after_conv{i}'}
    for i in (1, 2, 3)
]
VARIANTS = {
    'r18': {'depth': 18},
    'r34': {'depth': 34},
    'r50': {'depth': 50},
    'r101': {'depth': 101, 'base_channels': 8},
    'r152': {'depth': 152, 'base_channels': 8},
    'r50-caffe': {'depth': 50, 'style': 'caffe'},
    'r50-d': {'depth': 50, 'deep_stem': True, 'avg_down': True},
    'r50-frozen': {'depth': 50, 'frozen_stages': 2},
    'r50-deep-stem-frozen': {'depth': 50, 'frozen_stages': 1, 'deep_stem': True},
    'r50-plugins': {'depth': 50, 'plugins': PLUGINS},
    'r50-dcn': {'depth': 50, 'dcn': DCN, 'stage_with_dcn': (False, True, True, True)},
    'r50-gn': {'depth': 50, 'norm_cfg': {'type': 'GN', 'num_groups': 4}},
}


def build(cls, base_channels=16, **kwargs):
    torch.manual_seed(0)
    return cls(base_channels=base_channels, **kwargs)


def same_tensors(expected, actual):
    return len(expected) == len(actual) and all(map(torch.equal, expected, actual))


@pytest.mark.parametrize('norm_eval', [False, True])
@pytest.mark.parametrize('variant', VARIANTS)
def test_bn_and_relu_compute_what_mmdetection_computes(variant, norm_eval):
    kwargs = {**VARIANTS[variant], 'norm_eval': norm_eval}
    theirs, ours = build(ResNet, **kwargs).double(), build(NormActResNet, **kwargs).double()
    # Our GN+ReLU is one op in training, with a rounding of its own.
    tolerance = {'rtol': 1e-9, 'atol': 1e-9} if 'gn' in variant else {'rtol': 0, 'atol': 0}
    for p in theirs.parameters():
        if p.dim() == 1:
            nn.init.normal_(p, mean=0.5)
    # Loads MMDetection's checkpoints: the same keys and shapes.
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.train()
    ours.train()
    torch.manual_seed(1)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    out1, out2 = theirs(x1), ours(x2)
    torch.testing.assert_close(out1, out2, **tolerance)
    weights = [torch.randn_like(out) for out in out1]
    for outs in (out1, out2):
        sum((out * w).sum() for out, w in zip(outs, weights, strict=True)).backward()
    torch.testing.assert_close(x1.grad, x2.grad, **tolerance)
    assert [p.requires_grad for p in theirs.parameters()] == [
        p.requires_grad for p in ours.parameters()
    ]
    for p1, p2 in zip(theirs.parameters(), ours.parameters(), strict=True):
        if p1.requires_grad:
            torch.testing.assert_close(p1.grad, p2.grad)
    assert same_tensors(list(theirs.buffers()), list(ours.buffers()))


@pytest.mark.parametrize('depth', [18, 50])
@pytest.mark.parametrize('zero_init_residual', [True, False])
def test_initialisation_is_mmdetections(depth, zero_init_residual):
    states = []
    for cls in (ResNet, NormActResNet):
        model = build(cls, depth=depth, zero_init_residual=zero_init_residual)
        torch.manual_seed(2)
        model.init_weights()
        states.append(model.state_dict())
    assert states[0].keys() == states[1].keys()
    assert same_tensors(list(states[0].values()), list(states[1].values()))


def test_own_init_cfg_switches_zero_init_off_as_in_mmdetection():
    init_cfg = {'type': 'Kaiming', 'layer': 'Conv2d'}
    model = build(NormActResNet, depth=18, init_cfg=init_cfg)
    model.init_weights()
    assert torch.equal(model.layer1[0].norm2.weight, torch.ones(16))


@pytest.mark.parametrize('frn', [True, False])
@pytest.mark.parametrize('depth', [18, 50])
def test_checkpointing_changes_no_gradient(depth, frn):
    kwargs = FRN_TLU if frn else {}
    plain = build(NormActResNet, depth=depth, **kwargs)
    checkpointed = build(NormActResNet, depth=depth, with_cp=True, **kwargs)
    checkpointed.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    grads = []
    for model in (plain, checkpointed):
        inputs = x.clone().requires_grad_()
        sum(out.square().sum() for out in model(inputs)).backward()
        grads.append([inputs.grad, *(p.grad for p in model.parameters())])
    for g1, g2 in zip(*grads, strict=True):
        torch.testing.assert_close(g1, g2)


@pytest.mark.parametrize('depth', [18, 34, 50, 101, 152])
def test_frn_and_tlu_stand_where_the_paper_and_its_reproduction_put_them(depth):
    model = build(NormActResNet, depth=depth, base_channels=4, **FRN_TLU)
    blocks = [block for i in range(1, 5) for block in getattr(model, f'layer{i}')]
    convs = 2 if depth < 50 else 3
    for block in blocks:
        acts = [getattr(block, f'act{i}') for i in range(1, convs + 1)]
        norms = [getattr(block, f'norm{i}') for i in range(1, convs + 1)]
        assert [type(m) for m in acts] == [TLU] * convs
        assert [type(m) for m in norms] == [FRN] * convs
        assert [m.num_features for m in acts] == [m.num_features for m in norms]
        if block.downsample is not None:
            assert type(block.downsample[-1]) is FRN
    shortcuts = sum(block.downsample is not None for block in blocks)
    count = {cls: sum(isinstance(m, cls) for m in model.modules()) for cls in (FRN, TLU)}
    assert count == {FRN: 1 + convs * len(blocks) + shortcuts, TLU: 1 + convs * len(blocks)}
    assert not any(isinstance(m, (nn.ReLU, nn.BatchNorm2d)) for m in model.modules())
    assert {m.eps for m in model.modules() if isinstance(m, FRN)} == {1e-6}


@pytest.mark.parametrize('variant', [v for v in VARIANTS if v != 'r50-gn'])
def test_frn_trains_every_parameter_that_is_not_frozen(variant):
    model = build(NormActResNet, **VARIANTS[variant], **FRN_TLU)
    model.init_weights()
    last = 'norm2' if VARIANTS[variant]['depth'] < 50 else 'norm3'
    assert not getattr(model.layer2[0], last).weight.any()
    outs = model(torch.randn(2, 3, 64, 64))
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    without = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert without == set()


def test_frozen_stages_freeze_the_thresholds_too():
    model = build(NormActResNet, depth=50, frozen_stages=1, **FRN_TLU)
    model.train()
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert {'act1.tau', 'frn1.weight', 'layer1.0.act3.tau'} <= frozen
    assert not any(n.startswith('layer2') for n in frozen)


PAIRS = [('FRN', 'ReLU'), ('GN', 'TLU'), ('BN', 'TLU'), ('FRN', 'SiLU'), ('IN', 'TLU')]


@pytest.mark.parametrize(('norm', 'act'), PAIRS)
@pytest.mark.parametrize('deep_stem', [False, True])
def test_any_pair_of_norm_and_activation_works(norm, act, deep_stem):
    norm_cfg = {'type': norm, **({'num_groups': 4} if norm == 'GN' else {})}
    model = build(
        NormActResNet, depth=50, norm_cfg=norm_cfg, act_cfg={'type': act}, deep_stem=deep_stem
    )
    outs = model(torch.randn(2, 3, 64, 64))
    assert [out.shape[1] for out in outs] == [64, 128, 256, 512]
    sum(out.sum() for out in outs).backward()


def test_a_checkpoint_round_trip_keeps_every_output(tmp_path):
    model = build(NormActResNet, depth=18, **FRN_TLU)
    for p in model.parameters():
        nn.init.normal_(p, std=0.1)
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    other = build(NormActResNet, depth=18, **FRN_TLU)
    other.load_state_dict(torch.load(tmp_path / 'a.pth'), strict=True)
    x = torch.randn(1, 3, 64, 64)
    assert same_tensors(model(x), other(x))
