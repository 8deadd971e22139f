"""Adaptive gradient clipping against timm's, and as MMEngine's wrapper in a training."""

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPERS
from timm.utils.agc import adaptive_clip_grad
from torch import nn

from mmdet_frn.engine import AGCOptimWrapper, AmpAGCOptimWrapper
from mmdet_frn.layers import ScaledWSConv


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        ScaledWSConv(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(16, 2)
    )
    # A unit of zeros, a gradient of zeros, and one without.
    model[2].weight.data[0] = 0
    model[4].bias.requires_grad_(False)
    return model.double()


def wrapper(model, **kwargs):
    cfg = {'type': 'AGCOptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 1.0}, **kwargs}
    return build_optim_wrapper(model, cfg)


def loss_of(model, scale=1.0):
    torch.manual_seed(1)
    return scale * model(torch.randn(5, 3, 4, 4).double()).square().sum()


@pytest.mark.parametrize('scale', [1e-6, 1e-2, 1.0])
@pytest.mark.parametrize('factor', [0.01, 0.16])
def test_a_step_is_that_of_timms_clipping(scale, factor):
    ours, theirs = network(), network()
    optim = wrapper(ours, clip_grad={'clip_factor': factor})
    optim.update_params(loss_of(ours, scale))
    loss_of(theirs, scale).backward()
    plain = [p.grad.clone() for p in theirs.parameters() if p.grad is not None]
    adaptive_clip_grad(list(theirs.parameters()), clip_factor=factor, eps=1e-3)
    clipped = [p.grad for p in theirs.parameters() if p.grad is not None]
    assert all(map(torch.equal, plain, clipped)) == (scale == 1e-6)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        expected = b if b.grad is None else b - b.grad
        torch.testing.assert_close(a, expected)


def test_a_group_may_be_left_out():
    model = network()
    paramwise = {'custom_keys': {'4': {'agc': False}}}
    optim = wrapper(model, clip_grad={'clip_factor': 0.01}, paramwise_cfg=paramwise)
    loss = loss_of(model)
    grads = torch.autograd.grad(loss, [model[2].weight, model[4].weight], retain_graph=True)
    before = [model[2].weight.clone(), model[4].weight.clone()]
    optim.update_params(loss)
    torch.testing.assert_close(before[1] - model[4].weight, grads[1])
    assert (before[0] - model[2].weight).norm() < 0.1 * grads[0].norm()


def test_defaults_are_the_sources_and_other_keys_are_named():
    assert wrapper(network()).clip_grad_kwargs == {'clip_factor': 0.01, 'eps': 1e-3}
    message = 'clip_grad of AGCOptimWrapper must be .*; add _delete_=True'
    for wrong in ({'max_norm': 35}, {'clip_factor': 0.0}):
        with pytest.raises(ValueError, match=message):
            wrapper(network(), clip_grad=wrong)


def test_accumulated_gradients_are_clipped_once():
    once, twice = network(), network()
    wrapper(once).update_params(loss_of(once))
    optim = wrapper(twice, accumulative_counts=2)
    for _ in range(2):
        optim.update_params(loss_of(twice))
    for a, b in zip(once.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_amp_wrapper_clips_unscaled_gradients():
    assert OPTIM_WRAPPERS.get('AmpAGCOptimWrapper') is AmpAGCOptimWrapper
    assert issubclass(AmpAGCOptimWrapper, AmpOptimWrapper)
    assert AmpAGCOptimWrapper._clip_grad is AGCOptimWrapper._clip_grad
    assert AmpAGCOptimWrapper.step is AmpOptimWrapper.step
