"""The TLU layer: eq. (3) and (4), and MMCV's builder."""

import pytest
import torch
from mmcv.cnn import build_activation_layer
from torch import nn

from mmdet_frn.layers import TLU


def test_starts_as_relu():
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(TLU(3)(x), torch.relu(x))


def test_every_threshold_starts_at_init_and_returns_there():
    layer = TLU(3, init=-0.5)
    assert layer.tau.tolist() == [-0.5] * 3
    nn.init.zeros_(layer.tau)
    layer.reset_parameters()
    assert layer.tau.tolist() == [-0.5] * 3


@pytest.mark.parametrize('init', [float('nan'), float('inf')])
def test_init_must_be_finite(init):
    with pytest.raises(ValueError, match='init must be a finite number, got'):
        TLU(3, init=init)


@pytest.mark.parametrize('shape', [(2, 3), (2, 3, 5), (2, 3, 5, 4), (2, 3, 2, 2, 2)])
def test_is_the_maximum_of_input_and_threshold(shape):
    torch.manual_seed(0)
    layer = TLU(3)
    nn.init.normal_(layer.tau)
    y = torch.randn(shape)
    tau = layer.tau.view(1, 3, *[1] * (len(shape) - 2))
    assert torch.equal(layer(y), torch.maximum(y, tau))


def test_gradient_is_equation_4_ties_included():
    layer = TLU(2)
    with torch.no_grad():
        layer.tau.copy_(torch.tensor([0.0, 1.0]))
    y = torch.tensor([[[-1.0, 0.0, 2.0], [0.5, 1.0, 1.5]]], requires_grad=True)
    layer(y).backward(torch.tensor([[[1.0, 10.0, 100.0], [1.0, 10.0, 100.0]]]))
    # y_i >= tau sends its gradient to y, all others to tau.
    assert y.grad.tolist() == [[[0.0, 10.0, 100.0], [0.0, 10.0, 100.0]]]
    assert layer.tau.grad.tolist() == [1.0, 1.0]


def test_nan_goes_through():
    layer = TLU(1)
    assert torch.isnan(layer(torch.tensor([[[float('nan'), 1.0]]]))).tolist() == [[[True, False]]]
    nn.init.constant_(layer.tau, float('nan'))
    assert torch.isnan(layer(torch.tensor([[[0.0, 1.0]]]))).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_input_gives_half_output(dtype):
    assert TLU(3)(torch.randn(2, 3, 4).to(dtype)).dtype == dtype


def test_builder_builds_it():
    cfg = {'type': 'TLU', 'num_features': 6, 'init': -1.0, 'inplace': True}
    layer = build_activation_layer(cfg)
    assert isinstance(layer, TLU)
    assert torch.equal(layer.tau, -torch.ones(6))


def test_builder_without_a_count_says_what_to_name():
    with pytest.raises(ValueError, match='name num_features'):
        build_activation_layer({'type': 'TLU'})


def test_input_is_left_alone():
    y = torch.randn(2, 3, 4)
    kept = y.clone()
    TLU(3, inplace=True)(y)
    assert torch.equal(y, kept)
