"""NFResNet against timm's normaliser-free ResNet, and the variances that its source derives."""

import pytest
import timm
import torch
from timm.models.nfnet import NfCfg, NormFreeNet
from torch import nn

from mmdet_frn.layers import FRN, TLU, NoNorm, ScaledWSConv, SkipInit
from mmdet_frn.models import NFResNet, NormActResNet

BASE = 8


def timms_resnet():
    """As timm's nf_resnet50, narrower, with SkipInit; it has average pools in the shortcuts."""
    cfg = NfCfg(
        depths=(3, 4, 6, 3),
        channels=tuple(4 * BASE * 2**i for i in range(4)),
        stem_type='7x7_pool',
        stem_chs=BASE,
        bottle_ratio=0.25,
        act_layer='relu',
        skipinit=True,
        std_conv_eps=1e-6,
        num_features=0,
    )
    return NormFreeNet(cfg, num_classes=0)


def conv_state(conv, bias):
    """State of our convolution and of the bias beside it, under the names of timm's one."""
    return {
        'weight': conv.weight,
        'gain': conv.gain.weight.view(-1, 1, 1, 1),
        'bias': bias.bias,
    }


def under_timms_names(model):
    found = {'stem.conv': conv_state(model.conv1, model.norm1)}
    gains = {}
    for i, layer in enumerate([model.layer1, model.layer2, model.layer3, model.layer4]):
        for j, block in enumerate(layer):
            name = f'stages.{i}.{j}'
            gains[f'{name}.skipinit_gain'] = block.skip_init.weight[0]
            for k in (1, 2, 3):
                conv, norm = getattr(block, f'conv{k}'), getattr(block, f'norm{k}')
                found[f'{name}.conv{k}'] = conv_state(conv, norm)
            if block.downsample is not None:
                found[f'{name}.downsample.conv'] = conv_state(*block.downsample[1:])
    state = {f'{name}.{k}': v for name, conv in found.items() for k, v in conv.items()}
    return {k: v.detach() for k, v in {**state, **gains}.items()}


def test_every_stage_is_timms():
    torch.manual_seed(0)
    # timm has ReLU's factor as the source's code estimated it, we as the source derives it.
    gamma = timm.models.nfnet._nonlin_gamma['relu']
    conv_cfg = {'type': 'ScaledWSConv', 'gamma': gamma}
    ours = NFResNet(50, base_channels=BASE, avg_down=True, conv_cfg=conv_cfg).double()
    assert gamma == pytest.approx(ScaledWSConv(1, 1, 1).gamma, rel=1e-3)
    for p in ours.parameters():
        nn.init.normal_(p, mean=0.3, std=0.4)
    theirs = timms_resnet().double()
    theirs.load_state_dict(under_timms_names(ours), strict=True)
    image = torch.randn(2, 3, 64, 64).double()
    x = theirs.stem(image)
    outs = ours(image)
    for stage, out, depth in zip(theirs.stages, outs, (3, 4, 6, 3), strict=True):
        x = stage(x)
        torch.testing.assert_close(out, x.relu() / (1 + depth * 0.2**2) ** 0.5)


@pytest.mark.parametrize(('depth', 'deep_stem'), [(18, False), (18, True), (50, False)])
def test_variances_are_those_that_the_source_derives(depth, deep_stem):
    torch.manual_seed(0)
    model = NFResNet(depth, base_channels=32, deep_stem=deep_stem)
    model.init_weights()
    found = []
    for name in model.res_layers:
        for block in getattr(model, name):
            assert block.skip_init.weight.item() == 0
            nn.init.ones_(block.skip_init.weight)
            block.register_forward_hook(lambda block, args, out: found.append(out.var().item()))
    # Of unit variance where the first block expects it.
    model.maxpool = nn.Identity()
    first = model.stem[0] if deep_stem else model.conv1
    first.gamma = 1.0
    with torch.no_grad():
        outs = model(torch.randn(4, 3, 64, 64))
    depths = [len(getattr(model, name)) for name in model.res_layers]
    expected = [1 + 0.2**2 * i for depth in depths for i in range(1, depth + 1)]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=0.3, atol=0)
    assert all((out >= 0).all() for out in outs)


def test_a_new_network_is_its_shortcuts_and_every_gain_learns():
    torch.manual_seed(0)
    model = NFResNet(
        18,
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 2),
    )
    image = torch.randn(2, 3, 64, 64)
    first = model.layer1(image.new_ones(2, 16, 8, 8))
    assert torch.equal(first, torch.ones_like(first))
    outs = model(image)
    assert [tuple(out.shape) for out in outs] == [(2, 16, 16, 16), (2, 64, 4, 4)]
    sum(out.square().sum() for out in outs).backward()
    gains = [m.weight for m in model.modules() if isinstance(m, SkipInit)]
    assert len(gains) == 6
    assert all(gain.grad.abs() > 0 for gain in gains)
    assert all(p.grad is not None for p in model.parameters())


def test_its_parts_come_from_the_config_and_plugins_do_not():
    model = NFResNet(18, base_channels=16, act_cfg={'type': 'TLU'}, conv_cfg={'type': 'ConvWS'})
    assert model.layer2[0].act1.tau.numel() == 16
    assert model.out_acts[3].tau.numel() == 128
    assert not any(isinstance(m, ScaledWSConv) for m in model.modules())
    assert isinstance(NFResNet(18, base_channels=16).layer1[0].norm1, NoNorm)
    with pytest.raises(ValueError, match='NFResNet takes no plugins; use NormActResNet'):
        NFResNet(50, plugins=[{'cfg': {'type': 'ContextBlock'}, 'position': 'after_conv2'}])


def test_checkpointed_and_frozen_stages_work_as_in_mmdetection():
    torch.manual_seed(0)
    model = NFResNet(18, base_channels=16, frozen_stages=1)
    other = NFResNet(18, base_channels=16, with_cp=True)
    other.load_state_dict(model.state_dict())
    image = torch.randn(1, 3, 32, 32)
    for a, b in zip(model(image), other(image), strict=True):
        assert torch.equal(a, b)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {
        n for n, _ in model.named_parameters() if n.startswith(('conv1', 'bias1', 'layer1'))
    }


@pytest.mark.parametrize('depth', [18, 50])
@pytest.mark.parametrize(
    ('norm_cfg', 'act'),
    [
        ({'type': 'NoNorm'}, 'ReLU'),
        ({'type': 'FRN', 'eps': 1e-6}, 'TLU'),
        ({'type': 'EvoNormS0', 'num_groups': 4}, 'ReLU'),
    ],
)
def test_skip_init_starts_every_block_as_its_shortcut(depth, norm_cfg, act):
    torch.manual_seed(0)
    model = NormActResNet(
        depth, base_channels=16, norm_cfg=norm_cfg, act_cfg={'type': act}, skip_init=True
    )
    model.init_weights()
    last = 'norm2' if depth == 18 else 'norm3'
    for name in model.res_layers:
        for block in getattr(model, name):
            assert isinstance(getattr(block, last), SkipInit)
            x = torch.randn(2, block.conv1.in_channels, 8, 8)
            identity = x if block.downsample is None else block.downsample(x)
            assert torch.equal(block(x.clone()), getattr(block, f'act{last[-1]}')(identity))
    sum(out.sum() for out in model(torch.randn(2, 3, 64, 64))).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_skip_init_is_a_factor_of_the_branch():
    torch.manual_seed(0)
    plain = NormActResNet(18, base_channels=16, norm_cfg={'type': 'FRN'}, act_cfg={'type': 'TLU'})
    gained = NormActResNet(
        18, base_channels=16, norm_cfg={'type': 'FRN'}, act_cfg={'type': 'TLU'}, skip_init=True
    )
    state = {k.replace('frn2.', 'frn2.norm.'): v for k, v in plain.state_dict().items()}
    missing, unexpected = gained.load_state_dict(state, strict=False)
    assert not unexpected
    assert {name.rpartition('.')[0] for name in missing} == {
        name for name, m in gained.named_modules() if isinstance(m, SkipInit)
    }
    for module in plain.modules():
        if isinstance(module, FRN):
            nn.init.normal_(module.weight)
    gained.load_state_dict(
        {k.replace('frn2.', 'frn2.norm.'): v for k, v in plain.state_dict().items()}, strict=False
    )
    for (_, a), (_, b) in zip(
        plain.layer1.named_children(), gained.layer1.named_children(), strict=True
    ):
        nn.init.constant_(b.norm2.weight, 0.5)
        a.norm2.weight.data.mul_(0.5)
        a.norm2.bias.data.mul_(0.5)
        x = torch.randn(2, 16, 8, 8)
        torch.testing.assert_close(a(x.clone()), b(x.clone()))
    assert any(isinstance(m, TLU) for m in gained.modules())
