"""Conditional norms and attention against PyTorch, timm and their equations in fp64."""

import copy

import numpy as np
import pytest
import timm.layers
import torch
from helpers import randomised
from torch import nn
from torch.nn import functional as F

from mmdet_frn.layers import CBN, SPADE, AdaLN, FiLM, QKNormAttention

C, D = 8, 5


@pytest.fixture
def x():
    torch.manual_seed(1)
    return (2 * torch.randn(3, C, 5, 6) + 0.5).double()


@pytest.fixture
def code():
    torch.manual_seed(2)
    return torch.randn(3, D).double()


def torchs_x_hat(kind, x):
    if kind is CBN:
        return F.batch_norm(x, None, None, training=True)
    if kind is AdaLN:
        return F.layer_norm(x.movedim(1, -1), (C,), eps=1e-6).movedim(-1, 1)
    return x


@pytest.mark.parametrize('kind', [FiLM, CBN, AdaLN])
def test_a_code_scales_and_shifts_each_image_and_channel_of_torchs_norm(kind, x, code):
    layer = kind(C, D).double()
    torch.testing.assert_close(layer(x, code), torchs_x_hat(kind, x))
    layer = randomised(layer, 0, 0.4)
    weight, bias = (p.detach().numpy() for p in layer.modulation.parameters())
    out = code.numpy() @ weight.T + bias
    gamma, beta = out[:, :C, None, None], out[:, C:, None, None]
    expected = (1 + gamma) * torchs_x_hat(kind, x).numpy() + beta
    torch.testing.assert_close(layer(x, code), torch.from_numpy(expected))


def test_cbns_running_statistics_are_torchs(x, code):
    layer, bn = randomised(CBN(C, D), 0, 0.4).double(), nn.BatchNorm2d(C, affine=False).double()
    for scale in (1.0, 3.0):
        layer(scale * x, code)
        bn(scale * x)
    assert torch.equal(layer.norm.running_var, bn.running_var)
    gamma, beta = layer.modulation(code)[:, :, None, None].chunk(2, 1)
    torch.testing.assert_close(layer.eval()(x, code), (1 + gamma) * bn.eval()(x) + beta)


@pytest.mark.parametrize('norm_cfg', [None, {'type': 'IN', 'affine': False}])
def test_spade_modulates_each_pixel_by_the_nearest_of_the_mask(norm_cfg, x):
    layer = SPADE(C, 2, hidden=4, norm_cfg=norm_cfg).double()
    x_hat = F.batch_norm(x, None, None, training=True) if norm_cfg is None else F.instance_norm(x)
    mask = torch.rand(3, 2, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(x, mask), x_hat)
    randomised(layer, 0, 0.4)
    near = mask[:, :, np.arange(5) * 2 // 5][:, :, :, np.arange(6) * 3 // 6]
    hidden = F.conv2d(near, layer.shared.weight, layer.shared.bias, padding=1).clamp(min=0)
    out = F.conv2d(hidden, layer.modulation.weight, layer.modulation.bias, padding=1)
    torch.testing.assert_close(layer(x, mask), (1 + out[:, :C]) * x_hat + out[:, C:])


def test_qk_norm_attention_is_timms_on_pixels(x):
    ours = QKNormAttention(C, num_heads=2).double()
    torch.testing.assert_close(ours(x), x)
    randomised(ours, 0, 0.4)
    theirs = timm.layers.Attention(
        C, num_heads=2, qkv_bias=True, qk_norm=True, norm_layer=nn.LayerNorm
    ).double()
    names = {'norm.q.': 'q_norm.', 'norm.k.': 'k_norm.'}
    theirs.load_state_dict(
        {names.get(k[:7], k[:7]) + k[7:]: v for k, v in ours.state_dict().items()}
    )
    tokens = theirs(x.flatten(2).transpose(1, 2))
    torch.testing.assert_close(ours(x), x + tokens.transpose(1, 2).view_as(x))


def test_qk_norm_bounds_the_logits_whatever_the_scale_of_the_input(x):
    layer = randomised(QKNormAttention(C, num_heads=2), 0, 0.4).double()
    nn.init.zeros_(layer.qkv.bias)
    q, k = layer.norm(
        *layer.qkv(1e6 * x.flatten(2).transpose(1, 2)).unflatten(2, (3, 2, -1))[:, :, :2].unbind(2)
    )
    assert (q @ k.transpose(-1, -2)).abs().max() < 100


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_maps_give_the_fp64_result_rounded(dtype, x, code):
    for kind in (FiLM, CBN, AdaLN):
        layer = randomised(kind(C, D), 0, 0.4).double().eval()
        half = x.to(dtype)
        out = copy.deepcopy(layer).float()(half, code.float())
        assert out.dtype == dtype
        tolerance = 8 * torch.finfo(dtype).eps
        torch.testing.assert_close(
            out.double(), layer(half.double(), code), rtol=tolerance, atol=tolerance
        )


def test_an_argument_out_of_range_is_named():
    with pytest.raises(ValueError, match='code_features must be >= 1, got 0'):
        CBN(C, 0)
    with pytest.raises(ValueError, match='num_heads must divide num_features=8, got 3'):
        QKNormAttention(C, num_heads=3)
