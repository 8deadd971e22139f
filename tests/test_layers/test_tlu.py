"""The TLU layer and MMCV's builder; eq. (4), ties, NaN and halves are tested on its op."""

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
