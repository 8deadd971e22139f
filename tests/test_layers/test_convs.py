"""Every convolution of the table: its weight against others, and what MMDetection asks of it."""

import copy

import pytest
import timm.layers
import torch
from helpers import weight_decays
from mmcv.cnn import ConvModule, build_conv_layer
from mmengine.model import BaseModule, kaiming_init
from torch import nn
from torch.nn import functional as F

from mmdet_frn.layers import Gain, ScaledWSConv, SkipInit
from mmdet_frn.norms import CONVS

COMPUTED = ('WeightNormConv', 'SpectralNormConv')


@pytest.fixture(params=CONVS, ids=lambda row: row.label)
def row(request):
    return request.param


def build(row, **kwargs):
    torch.manual_seed(0)
    conv = build_conv_layer(row.conv_cfg, 8, 16, 3, padding=1, **kwargs)
    for p in conv.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return conv


def sample(dtype=torch.float32):
    torch.manual_seed(1)
    return torch.randn(2, 8, 5, 6).to(dtype)


def expected_weight(label, conv):
    """In fp64, by PyTorch alone."""
    if label == 'WeightNormConv':
        g, v = conv.parametrizations.weight.original0, conv.parametrizations.weight.original1
        return g * F.normalize(v.flatten(1), dim=1).view_as(v)
    if label == 'SpectralNormConv':
        weight = conv.parametrizations.weight.original
        return weight / torch.linalg.matrix_norm(weight.flatten(1), 2)
    std, mean = torch.std_mean(conv.weight.flatten(1), 1, correction=label == 'ConvWS')
    std, mean = std.view(-1, 1, 1, 1), mean.view(-1, 1, 1, 1)
    if label == 'CenteredConv':
        return conv.weight - mean
    if label == 'ConvWS':
        return (conv.weight - mean) / (std + 1e-5)
    gain = conv.gain.weight.view(-1, 1, 1, 1) * conv.gamma
    return gain * (conv.weight - mean) / ((std**2 + 1e-6).sqrt() * conv.weight[0].numel() ** 0.5)


def test_the_builder_builds_what_the_row_names(row):
    classes = type(build(row)).__mro__
    assert {row.label, f'{row.label}2d'} & {cls.__name__ for cls in classes}  # MMCV's has the 2d
    assert nn.Conv2d in classes


@pytest.mark.parametrize('groups', [1, 2])
def test_a_convolution_with_the_weight_of_its_source(row, groups):
    conv = build(row, groups=groups, stride=2).double()
    x = sample(torch.float64)
    for _ in range(500 if row.label == 'SpectralNormConv' else 1):
        out = conv(x)
    expected = F.conv2d(x, expected_weight(row.label, conv), conv.bias, 2, 1, 1, groups)
    torch.testing.assert_close(out, expected)
    # Evaluation changes nothing, and estimates nothing.
    state = copy.deepcopy(conv.state_dict())
    torch.testing.assert_close(conv.eval()(x), expected)
    assert all(torch.equal(state[k], v) for k, v in conv.state_dict().items())


def test_scaled_ws_is_timms():
    ours = ScaledWSConv(8, 16, 3, padding=1, gamma=1.3).double()
    theirs = timm.layers.ScaledStdConv2d(8, 16, 3, padding=1, gamma=1.3).double()
    nn.init.normal_(ours.gain.weight)
    gain = ours.gain.weight.view(-1, 1, 1, 1)
    theirs.load_state_dict({'weight': ours.weight, 'bias': ours.bias, 'gain': gain})
    results = []
    for conv in (ours, theirs):
        x = sample(torch.float64).requires_grad_()
        out = conv(x)
        out.square().sum().backward()
        results.append((out, x.grad, conv.weight.grad, conv.bias.grad))
    torch.testing.assert_close(*results)
    torch.testing.assert_close(ours.gain.weight.grad, theirs.gain.grad.flatten())


def test_gradients_are_those_of_finite_differences(row):
    conv = build(row).double()
    # The estimate of a singular value is a constant to the gradient only once it is exact.
    for _ in range(500 if row.label == 'SpectralNormConv' else 0):
        conv(sample(torch.float64))
    names = [name for name, _ in conv.named_parameters()]

    def function(x, *values):
        return torch.func.functional_call(conv.eval(), dict(zip(names, values, strict=True)), x)

    values = [p.detach().clone().requires_grad_() for p in conv.parameters()]
    x = sample(torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(function, (x, *values), fast_mode=True)


def test_states_load_and_copies_are_equal(row, tmp_path):
    conv, other = build(row), build_conv_layer(row.conv_cfg, 8, 16, 3, padding=1)
    conv(sample())
    torch.save(conv.state_dict(), tmp_path / 'state.pth')
    other.load_state_dict(torch.load(tmp_path / 'state.pth'))
    out = conv.eval()(sample())
    assert torch.equal(other.eval()(sample()), out)
    assert torch.equal(copy.deepcopy(conv)(sample()), out)


def test_it_compiles_and_takes_half_inputs_under_autocast(row):
    conv = build(row).eval()
    out = conv(sample())
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(conv), backend='aot_eager', fullgraph=True)
    torch.testing.assert_close(compiled(sample()), out)
    with torch.autocast('cpu', torch.bfloat16):
        half = conv(sample(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), out, rtol=0.03, atol=0.03 * out.abs().max().item())


class Detector(BaseModule):
    """A convolution that MMEngine initialises as that of a head, and MMCV's module with another."""

    def __init__(self, conv_cfg, **kwargs):
        super().__init__(**kwargs)
        self.conv = build_conv_layer(conv_cfg, 8, 64, 3)
        self.module = ConvModule(8, 64, 3, conv_cfg=conv_cfg)


@pytest.mark.parametrize('label', COMPUTED)
def test_initialisers_reach_a_computed_weight(label):
    torch.manual_seed(0)
    init_cfg = {'type': 'Normal', 'layer': 'Conv2d', 'std': 0.01, 'bias': -2}
    model = Detector({'type': label}, init_cfg=init_cfg)
    before = model.module.conv.weight.std().item()
    model.init_weights()
    for conv in (model.conv, model.module.conv):
        weight = conv.eval().weight.detach()
        if label == 'WeightNormConv':
            assert weight.std().item() == pytest.approx(0.01, rel=0.05)
        else:
            assert torch.linalg.matrix_norm(weight.flatten(1), 2) == pytest.approx(1, rel=0.05)
            assert conv.parametrizations.weight.original.std().item() == pytest.approx(
                0.01, rel=0.05
            )
        assert conv.bias.unique().tolist() == [-2]
    # ConvModule's default is Kaiming's, without a config.
    plain = nn.Conv2d(8, 64, 3)
    kaiming_init(plain)
    expected = plain.weight if label == 'WeightNormConv' else expected_of(plain)
    assert before == pytest.approx(expected.std().item(), rel=0.1)


def expected_of(conv):
    return conv.weight / torch.linalg.matrix_norm(conv.weight.flatten(1), 2)


def test_gains_have_the_decay_of_norms_and_weights_do_not():
    model = nn.Sequential(ScaledWSConv(8, 8, 1), SkipInit(nn.GroupNorm(2, 8)))
    assert weight_decays(model, norm_decay_mult=0.0) == {
        '0.weight': 0.1,
        '0.bias': 0.1,
        '0.gain.weight': 0.0,
        '1.weight': 0.0,
        '1.norm.weight': 0.0,
        '1.norm.bias': 0.0,
    }
    assert isinstance(model[0].gain, Gain)
