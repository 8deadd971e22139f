"""Each norm and activation written here against timm, PyTorch or its source's equation in fp64."""

import copy

import helpers
import numpy as np
import pytest
import scipy.special
import timm.layers
import torch
from mmcv.cnn import ConvModule
from timm.layers.grn import GlobalResponseNorm
from torch import nn
from torch.nn import functional as F

from mmdet_frn.layers import (
    GFRN,
    GRN,
    LFRN,
    LRN,
    SALU,
    AffineTLU,
    BatchRenorm,
    ChannelPReLU,
    Derf,
    DyT,
    EvoNormB0,
    EvoNormS0,
    EvoNormS0a,
    GhostBN,
    LN2d,
    RMSNorm2d,
    SwitchableNorm,
)
from mmdet_frn.models import NormActResNet

C = 8


def randomised(module):
    return helpers.randomised(module).double()


@pytest.fixture
def x():
    torch.manual_seed(1)
    return (2 * torch.randn(4, C, 5, 6) + 0.5).double()


def same(ours, theirs, x):
    """Outputs and gradients with respect to the input agree."""
    results = []
    for function in (ours, theirs):
        value = x.clone().requires_grad_()
        out = function(value)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        results.append((out, value.grad))
    torch.testing.assert_close(*results)


def channels(p):
    return p.detach().view(1, -1, 1, 1)


def rms_norm(layer, groups):
    def function(x):
        rows = x.reshape(x.shape[0], groups, -1)
        x_hat = F.rms_norm(rows, rows.shape[2:], eps=1e-6).view_as(x)
        return channels(layer.weight) * x_hat + channels(layer.bias)

    return function


@pytest.mark.parametrize('groups', [1, 2, 4, C])
def test_gfrn_is_torchs_rms_norm_over_groups(groups, x):
    layer = randomised(GFRN(C, num_groups=groups))
    same(layer, rms_norm(layer, groups), x)


def test_lfrn_is_torchs_rms_norm_over_a_sample(x):
    layer = randomised(LFRN(C))
    same(layer, rms_norm(layer, 1), x)


def test_groups_must_divide_the_channels():
    for cls in (GFRN, EvoNormS0):
        with pytest.raises(ValueError, match='num_groups must divide num_features=8, got 3'):
            cls(C, num_groups=3)


def test_affine_tlu_is_the_papers_maximum(x):
    layer = randomised(AffineTLU(C))
    kappa, tau = channels(layer.kappa), channels(layer.tau)
    same(layer, lambda x: torch.maximum(x, kappa * x + tau), x)
    assert AffineTLU(C).kappa.tolist() == [0.25] * C


def test_channel_prelu_is_torchs_with_a_slope_per_channel(x):
    layer, theirs = ChannelPReLU(C).double(), nn.PReLU(C).double()
    assert torch.equal(layer.weight, theirs.weight)
    same(randomised(layer), randomised(theirs), x)


@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [(EvoNormS0, timm.layers.EvoNorm2dS0), (EvoNormS0a, timm.layers.EvoNorm2dS0a)],
)
@pytest.mark.parametrize('apply_act', [True, False])
def test_evonorm_s0_and_s0a_are_timms(ours, theirs, apply_act, x):
    ours = ours(C, num_groups=4, apply_act=apply_act)
    theirs = theirs(C, groups=4, apply_act=apply_act, eps=1e-5)
    theirs.load_state_dict(randomised(ours).state_dict(), strict=True)
    # timm computes the deviation in fp32 whatever its input.
    same(ours.float(), theirs.float(), x.float())


@pytest.mark.parametrize('apply_act', [True, False])
def test_evonorm_b0_is_timms_in_training_and_evaluation(apply_act, x):
    ours = EvoNormB0(C, apply_act=apply_act)
    theirs = timm.layers.EvoNorm2dB0(C, apply_act=apply_act, eps=1e-5)
    theirs.load_state_dict(randomised(ours).state_dict(), strict=True)
    ours, theirs = ours.float(), theirs.float()
    for scale in (1.0, 3.0):
        same(ours, theirs, scale * x.float())
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    same(ours.eval(), theirs.eval(), x.float())


def test_an_evonorm_without_activation_has_no_parameter_left_unused():
    norm = EvoNormS0(C, num_groups=4)
    norm.remove_act()
    assert dict(norm.named_parameters()).keys() == {'weight', 'bias'}
    assert EvoNormS0(C, num_groups=4, apply_act=False).state_dict().keys() == {'weight', 'bias'}


def test_evonorm_contains_the_activation_of_conv_modules_and_not_that_of_a_sum():
    norm_cfg = {'type': 'EvoNormS0', 'num_groups': 4}
    module = ConvModule(3, C, 1, norm_cfg=norm_cfg, act_cfg={'type': 'ReLU'})
    image = torch.randn(2, 3, 4, 4)
    assert torch.equal(module(image), module.norm(module.conv(image)))
    for depth in (18, 50):
        model = NormActResNet(depth, base_channels=16, norm_cfg=norm_cfg)
        for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
            for block in layer:
                last = 2 if depth == 18 else 3
                applied = [getattr(block, f'norm{i}').apply_act for i in range(1, last + 1)]
                assert applied == [True] * (last - 1) + [False]
                assert isinstance(block.act1, nn.Identity)
                assert isinstance(getattr(block, f'act{last}'), nn.ReLU)
                assert block.downsample is None or not block.downsample[-1].apply_act
        assert model.norm1.apply_act


def test_ln2d_is_torchs_layer_norm_at_each_pixel(x):
    ours = randomised(LN2d(C))
    theirs = nn.LayerNorm(C, eps=1e-6).double()
    theirs.load_state_dict(ours.state_dict())
    same(ours, lambda x: theirs(x.movedim(1, -1)).movedim(-1, 1), x)


def test_rmsnorm2d_is_timms_plus_a_bias(x):
    ours, theirs = randomised(RMSNorm2d(C)), timm.layers.RmsNorm2d(C, eps=1e-6).double()
    theirs.load_state_dict({'weight': ours.weight})
    same(ours, lambda x: theirs(x) + channels(ours.bias), x)


def test_grn_is_timms(x):
    ours, theirs = GRN(C), GlobalResponseNorm(C, channels_last=False).double()
    assert not any(p.any() for p in [*ours.parameters(), *theirs.parameters()])
    theirs.load_state_dict(randomised(ours).state_dict())
    same(ours, theirs, x)


def test_dyt_and_derf_are_their_equations_in_numpy(x):
    for cls, function in ((DyT, np.tanh), (Derf, scipy.special.erf)):
        assert cls(C).alpha.tolist() == [0.5]
        layer = randomised(cls(C))
        shift = layer.shift.item() if isinstance(layer, Derf) else 0.0
        expected = torch.from_numpy(function(layer.alpha.item() * x.numpy() + shift))
        expected = channels(layer.weight) * expected + channels(layer.bias)
        torch.testing.assert_close(layer(x), expected)


def test_salu_is_its_equation_in_numpy_and_bounded(x):
    layer = randomised(SALU(C))
    a, b = (abs(p) for p in (layer.weight.data, layer.curvature.data))
    layer.weight.data, layer.curvature.data = a, b
    a, b = (p.numpy().reshape(1, C, 1, 1) for p in (a, b))
    expected = a * x.numpy() / np.sqrt(1 + a * b * x.numpy() ** 2)
    torch.testing.assert_close(layer(x), torch.from_numpy(expected))
    assert (layer(1e3 * x).abs() <= torch.from_numpy(np.sqrt(a / b))).all()
    fresh = SALU(C, slope=2.0, curvature=3.0)
    assert fresh.weight.tolist() == [2.0] * C
    assert fresh.curvature.tolist() == [3.0] * C


def test_salu_learns_its_slope_from_zero_and_survives_a_negative_one(x):
    layer = SALU(C).double()
    nn.init.constant_(layer.weight, 0)
    (layer(x) * x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.square().sum((0, 2, 3)))
    nn.init.constant_(layer.weight, -1)
    torch.testing.assert_close(layer(x), -SALU(C).double()(x))


@pytest.mark.parametrize('args', [{}, {'size': 3, 'alpha': 2.0, 'beta': 0.5, 'k': 0.1}])
def test_lrn_is_torchs_with_scale_and_shift_and_krizhevskys_sum(args, x):
    layer = randomised(LRN(C, **args))
    theirs = nn.LocalResponseNorm(**{'size': 5, **args})
    same(layer, lambda x: channels(layer.weight) * theirs(x) + channels(layer.bias), x)
    squares = np.pad(x.numpy() ** 2, ((0, 0), (layer.size // 2, layer.size // 2), (0, 0), (0, 0)))
    sums = sum(squares[:, i : i + C] for i in range(layer.size))
    x_hat = x.numpy() / (layer.k + layer.alpha / layer.size * sums) ** layer.beta
    expected = channels(layer.weight) * torch.from_numpy(x_hat) + channels(layer.bias)
    torch.testing.assert_close(layer(x), expected)


def test_salu_and_lrn_name_the_argument_that_is_out_of_range():
    with pytest.raises(ValueError, match='curvature must be > 0, got 0'):
        SALU(C, curvature=0)
    with pytest.raises(ValueError, match='size must be >= 1, got 0'):
        LRN(C, size=0)


def test_ghost_bn_is_torchs_bn_on_each_virtual_batch(x):
    ours = randomised(GhostBN(C, virtual_batch=3))
    theirs = nn.BatchNorm2d(C).double()
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    # 4 images: a virtual batch of 3, then one of 1.
    same(ours, lambda x: torch.cat([theirs(x[:3]), theirs(x[3:])]), x)
    for ours_stat, their_stat in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(ours_stat, their_stat)
    same(ours.eval(), theirs.eval(), x)


def test_batch_renorm_starts_as_torchs_bn(x):
    layer = randomised(BatchRenorm(C))
    bn = nn.BatchNorm2d(C).double()
    bn.load_state_dict({'weight': layer.weight, 'bias': layer.bias}, strict=False)
    same(layer, bn, x)


def test_batch_renorm_is_its_algorithm_in_numpy(x):
    layer = randomised(
        BatchRenorm(C, momentum=0.2, start=1, r_end=3, d_end=2, r_max=1.5, d_max=0.4)
    )
    weight, bias = (p.detach().numpy().reshape(1, C, 1, 1) for p in (layer.weight, layer.bias))
    mu, sigma = np.zeros((1, C, 1, 1)), np.ones((1, C, 1, 1))
    # Limits of r and d before each step: BN, BN, half of r's way and all of d's, all.
    for step, (r_max, d_max) in enumerate([(1, 0), (1, 0), (1.25, 0.4), (1.5, 0.4)]):
        batch = (1 + step) * x + step
        values = batch.numpy()
        m = values.mean((0, 2, 3), keepdims=True)
        s = np.sqrt(values.var((0, 2, 3), keepdims=True) + 1e-5)
        r = np.clip(s / sigma, 1 / r_max, r_max)
        d = np.clip((m - mu) / sigma, -d_max, d_max)
        expected = weight * ((values - m) / s * r + d) + bias
        torch.testing.assert_close(layer(batch), torch.from_numpy(expected))
        mu, sigma = mu + 0.2 * (m - mu), sigma + 0.2 * (s - sigma)
    expected = weight * (x.numpy() - mu) / sigma + bias
    torch.testing.assert_close(layer.eval()(x), torch.from_numpy(expected))


def test_batch_renorm_sends_no_gradient_through_r_and_d(x):
    layer = randomised(BatchRenorm(C, start=0, r_end=1, d_end=1, r_max=1e3, d_max=1e3))
    layer.num_batches_tracked += 1
    # Unclipped, it normalises with the running statistics, and its gradient is BN's times r.
    x = x.clone().requires_grad_()
    out = layer(x)
    torch.testing.assert_close(out, channels(layer.weight) * x + channels(layer.bias))
    out.sum().backward()
    torch.testing.assert_close(x.grad, torch.zeros_like(x))


def one_hot(layer, index):
    for weight in (layer.mean_weight, layer.var_weight):
        nn.init.constant_(weight, -1e3)
        weight.data[index] = 1e3
    return layer


@pytest.mark.parametrize('index', [0, 1, 2])
def test_switchable_norm_with_all_weight_on_one_norm_is_torchs(index, x):
    ours = one_hot(randomised(SwitchableNorm(C)), index)
    theirs = [nn.InstanceNorm2d(C, affine=True), nn.GroupNorm(1, C), nn.BatchNorm2d(C)][index]
    theirs = theirs.double()
    theirs.load_state_dict({'weight': ours.weight, 'bias': ours.bias}, strict=False)
    for scale in (1.0, 3.0):
        same(ours, theirs, scale * x)
    same(ours.eval(), theirs.eval(), x)


def test_switchable_norm_mixes_moments_by_softmax(x):
    layer = randomised(SwitchableNorm(C))
    values = x.numpy()
    dims = [(2, 3), (1, 2, 3), (0, 2, 3)]
    shares = [
        scipy.special.softmax(w.detach().numpy()) for w in (layer.mean_weight, layer.var_weight)
    ]
    mean = sum(w * values.mean(d, keepdims=True) for w, d in zip(shares[0], dims, strict=True))
    var = sum(w * values.var(d, keepdims=True) for w, d in zip(shares[1], dims, strict=True))
    expected = torch.from_numpy((values - mean) / np.sqrt(var + 1e-5))
    expected = channels(layer.weight) * expected + channels(layer.bias)
    torch.testing.assert_close(layer(x), expected)
