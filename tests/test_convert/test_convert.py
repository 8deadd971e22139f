"""convert() on small networks: what becomes what, what is left and why, and equality with BN."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from conversion import check_equal_to_bn, randomize
from timm.layers import BatchNormAct2d
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from mmdet_frn import convert
from mmdet_frn.convert.modules import NormAct, TLUByWidth
from mmdet_frn.layers import FRN, TLU, ChannelAffine

TLU_CFG = {'type': 'TLU'}


def lefts(report):
    return {(item.name, item.reason) for item in report.left}


@pytest.fixture
def x():
    return torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(1))


class Shuffled(nn.Module):
    """Defined in another order than it runs, with one ReLU for two widths and a sum."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.bn2 = nn.BatchNorm2d(8)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 8, 1)
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.shortcut = nn.Conv2d(4, 8, 1)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(x))
        y += self.shortcut(x)
        return self.relu(y)


def test_pairs_are_those_of_the_forward_pass_not_of_the_definition(x):
    model = Shuffled()
    report = check_equal_to_bn(model, x, act_cfg=TLU_CFG)
    assert isinstance(model.bn1, FRN)
    assert isinstance(model.bn2, FRN)
    # One tau for each width of the shared ReLU, that after the sum included.
    assert isinstance(model.relu, TLUByWidth)
    assert set(model.relu.tlus) == {'4', '8'}
    assert [r.new for r in report.replaced] == ['FRN', 'FRN', 'TLU']
    assert report.left == []


def test_a_width_that_the_examples_did_not_reach_is_named(x):
    model = Shuffled()
    check_equal_to_bn(model, x, act_cfg=TLU_CFG)
    with pytest.raises(ValueError, match='no TLU for 5 channels, only for 4, 8'):
        model.relu(torch.randn(1, 5, 2, 2))


def test_without_act_cfg_activations_stay(x):
    model = Shuffled()
    check_equal_to_bn(model, x)
    assert type(model.relu) is nn.ReLU


def test_shared_modules_stay_shared(x):
    norm, relu = nn.BatchNorm2d(3), nn.ReLU()
    model = nn.Sequential(norm, relu, nn.Conv2d(3, 3, 1), norm, relu)
    check_equal_to_bn(model, x, act_cfg=TLU_CFG)
    assert model[0] is model[3]
    assert model[1] is model[4]
    assert (type(model[0]), type(model[1])) == (FRN, TLU)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3)
        self.se = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
        self.mixed = nn.ReLU()
        self.idle = nn.ReLU()

    def forward(self, x):
        x = F.relu(self.bn(x), inplace=True)
        gate = self.se(x.mean((2, 3), keepdim=True)).sigmoid()
        return self.mixed(x * gate) + self.mixed(self.bn(x))


def test_what_is_left_is_named_with_its_reason(x):
    model = Functional()
    report = check_equal_to_bn(model, x, act_cfg=TLU_CFG)
    assert lefts(report) == {
        ('', 'a call in a forward method, not a module'),
        ('se.1', 'no converted norm before it'),
        ('mixed', 'some of its places have no converted norm before them'),
        ('idle', 'not reached by the example inputs'),
    }
    assert 'functional ReLU left' in str(report)


@pytest.mark.parametrize('act', [nn.SiLU(), nn.ReLU6(), nn.Hardswish(), nn.GELU(), nn.Mish()])
def test_other_activations_stay(x, act):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), act)
    report = check_equal_to_bn(model, x, act_cfg=TLU_CFG)
    assert model[2] is act
    assert lefts(report) == {('2', 'not a ReLU')}


@pytest.mark.parametrize(
    'norm',
    [
        nn.BatchNorm2d(4),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, eps=1e-2),
        nn.SyncBatchNorm(4),
        FrozenBatchNorm2d(4),
    ],
    ids=['BN', 'BN without affine', 'BN with eps', 'SyncBN', 'frozen BN'],
)
@pytest.mark.parametrize('depthwise', [False, True])
def test_all_kinds_of_bn_are_converted(x, norm, depthwise):
    conv = nn.Conv2d(4, 4, 3, groups=4 if depthwise else 1)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), conv, copy.deepcopy(norm))
    report = check_equal_to_bn(model, x)
    assert isinstance(model[2], FRN)
    assert model[2].eps == norm.eps
    frozen = isinstance(norm, FrozenBatchNorm2d)
    assert report.frozen == (['2'] if frozen else [])
    assert model[2].weight.requires_grad is not frozen


def test_norm_before_a_convolution_and_of_volumes_and_sequences():
    volume = nn.Sequential(nn.BatchNorm3d(3), nn.ReLU(), nn.Conv3d(3, 4, 1))
    check_equal_to_bn(volume, torch.randn(2, 3, 4, 5, 6), act_cfg=TLU_CFG)
    assert (type(volume[0]), type(volume[1])) == (FRN, TLU)
    sequence = nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4))
    check_equal_to_bn(sequence, torch.randn(2, 3, 9))
    assert isinstance(sequence[1], FRN)


def test_timms_norm_with_activation_becomes_norm_and_tlu(x):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), BatchNormAct2d(4))
    report = check_equal_to_bn(model, x, act_cfg=TLU_CFG)
    assert isinstance(model[1], NormAct)
    assert (type(model[1].norm), type(model[1].act)) == (FRN, TLU)
    assert 'ReLU -> TLU (inside the norm layer)' in str(report)


@pytest.mark.parametrize('kappa', [0.0, math.inf])
def test_norms_of_pooled_maps_become_an_affine(x, kappa):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten())
    model.append(nn.BatchNorm1d(3))
    randomize(model).eval()
    expected = model(x)
    report = convert(model, x, kappa=kappa)
    assert [type(model[1]), type(model[3])] == [ChannelAffine, ChannelAffine]
    torch.testing.assert_close(model(x), expected)
    assert 'maps of 1x1' in report.replaced[0].remark


def test_bn_without_statistics_or_of_nan_is_left(x):
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.BatchNorm2d(3))
    model[1].running_var[0] = math.nan
    report = convert(model, x)
    assert report.replaced == []
    assert {name for name, _ in lefts(report)} == {'0', '1'}
    assert '0 layers replaced' in str(report)


def test_maps_of_which_some_are_1x1_are_noted(x):
    model = nn.ModuleDict({'bn': nn.BatchNorm2d(3)})
    report = convert(model, lambda: (model['bn'](x), model['bn'](x[..., :1, :1])))
    assert 'some maps of 1x1' in report.replaced[0].remark


def test_unreached_bn_is_converted_too(x):
    model = nn.ModuleDict({'used': nn.BatchNorm2d(3), 'aux': nn.BatchNorm2d(3)})
    randomize(model)
    report = convert(model, lambda: model['used'](x))
    assert isinstance(model['aux'], FRN)
    remarks = {r.name: r.remark for r in report.replaced}
    assert remarks == {'used': '', 'aux': 'not reached by the example inputs'}


def test_frn_without_prior_equals_bn_where_mean_squares_are_the_populations(x):
    bn = nn.BatchNorm2d(3).train()
    bn.momentum = None
    bn(x[:1])
    model = nn.Sequential(bn).eval()
    # Of one image the population is that image; the variance is unbiased, hence the tolerance.
    expected = model(x[:1])
    convert(model, x[:1])
    assert model[0].prior is None
    torch.testing.assert_close(model(x[:1]), expected, rtol=2e-2, atol=2e-2)


def test_mode_dtype_and_gradients_are_kept(x):
    model = randomize(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())).double()
    model[0].eval()
    model[2].eval()
    model[1].weight.requires_grad_(False)
    model[1].bias.requires_grad_(False)
    convert(model, x.double(), act_cfg=TLU_CFG, kappa=3)
    assert [m.training for m in model] == [False, True, False]
    assert {t.dtype for t in model.state_dict().values()} == {torch.float64}
    assert not model[1].weight.requires_grad
    assert model[2].tau.requires_grad


def test_another_norm_takes_gamma_and_beta(x):
    model = randomize(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    gamma, beta = model[1].weight.detach().clone(), model[1].bias.detach().clone()
    convert(model, x, norm_cfg={'type': 'GN', 'num_groups': 2})
    assert isinstance(model[1], nn.GroupNorm)
    assert torch.equal(model[1].weight, gamma)
    assert torch.equal(model[1].bias, beta)


def test_learned_prior_starts_at_kappa(x):
    model = randomize(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    convert(model, x, norm_cfg={'type': 'FRN', 'learnable_prior': True}, kappa=9)
    torch.testing.assert_close(model[1].prior.kappa(), torch.full((4,), 9.0))


def test_channels_in_trouble_are_listed(x):
    model = nn.Sequential(nn.BatchNorm2d(3))
    model[0].running_mean.copy_(torch.tensor([0.0, 50.0, 0.0]))
    model[0].running_var.copy_(torch.tensor([0.0, 1e-4, 1.0]))
    report = convert(model, x)
    found = {(c.name, tuple(c.channels), c.trouble[:4]) for c in report.channels}
    assert found == {('0', (0,), 'dead'), ('0', (1,), 'near')}
    assert 'near-constant, weight clamped' in str(report)


def test_variation_of_the_examples_suggests_kappa():
    def suggested(spread):
        images = torch.randn(8, 3, 16, 16) * torch.linspace(-spread, spread, 8).exp().view(
            8, 1, 1, 1
        )
        return convert(nn.Sequential(nn.BatchNorm2d(3)), images)

    torch.manual_seed(0)
    even, varied = suggested(0), suggested(1)
    assert even.suggested_kappa <= 1 < varied.suggested_kappa
    assert even.variation['0'] < 0.2 < varied.variation['0']


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'kappa': -1}, 'kappa must be >= 0, got -1'),
        ({'act_cfg': {'type': 'SiLU'}}, r"act_cfg must be None or dict\(type='TLU'\)"),
        ({'norm_cfg': {'type': 'GN', 'num_groups': 3}}, 'does not fit 1'),
        ({'norm_cfg': {'type': 'GN', 'num_groups': 2}, 'kappa': 1}, 'kappa must be 0'),
        ({'norm_cfg': {'type': 'NoSuchNorm'}}, 'NoSuchNorm'),
        ({'norm_cfg': {'eps': 1e-5}}, 'norm_cfg must have a type'),
        ({'norm_cfg': {'type': 'BN'}}, 'must be of a norm without batch statistics'),
        ({'act_cfg': {'type': 'TLU', 'start': 1}}, 'act_cfg .* does not build: .*start'),
        ({'inputs': torch.randn(1, 5, 4, 4)}, 'does not run on the example inputs'),
    ],
)
def test_errors_change_nothing(x, kwargs, message):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    before = list(model)
    with pytest.raises(ValueError, match=message):
        convert(model, **{'inputs': x, **kwargs})
    assert list(model) == before


def test_a_norm_alone_is_refused(x):
    with pytest.raises(ValueError, match='put it into a module'):
        convert(nn.BatchNorm2d(3), x)


def test_a_converted_network_is_independent_of_the_batch(x):
    model = randomize(Shuffled()).eval()
    convert(model, x, act_cfg=TLU_CFG, kappa=3)
    model.train()
    # The convolution may round otherwise.
    torch.testing.assert_close(model(x)[:1], model(x[:1]), rtol=1e-5, atol=1e-6)
