"""EvalNorm and MABN against their sources' equations in fp64 numpy, running statistics included."""

from itertools import product

import helpers
import numpy as np
import pytest
import torch
from torch import nn

from mmdet_frn.layers import MABN, EvalNorm

C = 3


def randomised(layer):
    return helpers.randomised(layer).double()


def numpy_of(layer):
    return (p.detach().numpy().reshape(1, C, 1, 1) for p in (layer.weight, layer.bias))


def test_eval_norm_trains_as_torchs_bn_and_loads_its_state():
    ours, theirs = randomised(EvalNorm(C)), nn.BatchNorm2d(C).double()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(2, C, 4, 5).double()
    assert torch.equal(ours(x), theirs(x))
    assert all(map(torch.equal, ours.buffers(), theirs.buffers()))
    # Of infinitely many images, BN's evaluation.
    torch.testing.assert_close(
        EvalNorm(C, batch_size=10**9).double().eval()(x), nn.BatchNorm2d(C).double().eval()(x)
    )


@pytest.mark.parametrize('kwargs', [{'affine': False}, {'track_running_stats': False}])
def test_eval_norm_takes_what_bn_takes(kwargs):
    ours, theirs = EvalNorm(C, 10**9, **kwargs).double(), nn.BatchNorm2d(C, **kwargs).double()
    x = torch.randn(2, C, 4, 5).double()
    for layer in (ours, theirs):
        layer(x)
        layer.eval()
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize('batch_size', [1, 2, 3])
def test_eval_norm_uses_the_mean_moments_of_all_batches_that_have_the_image(batch_size):
    layer = randomised(EvalNorm(C, batch_size=batch_size))
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, C, 2, 3)) * rng.uniform(0.5, 3, (4, C, 1, 1)) + rng.normal(
        size=(4, C, 1, 1)
    )
    axes = (0, 2, 3)
    batches = [images[list(i)] for i in product(range(4), repeat=batch_size)]
    count = batch_size * 6
    layer.running_mean.copy_(torch.from_numpy(np.mean([b.mean(axes) for b in batches], 0)))
    unbiased = np.mean([b.var(axes) for b in batches], 0) * count / (count - 1)
    layer.running_var.copy_(torch.from_numpy(unbiased))
    weight, bias = numpy_of(layer)
    expected = []
    for image in images:
        around = [
            np.stack([image, *images[list(i)]]) for i in product(range(4), repeat=batch_size - 1)
        ]
        mean = np.mean([b.mean(axes) for b in around], 0).reshape(1, C, 1, 1)
        var = np.mean([b.var(axes) for b in around], 0).reshape(1, C, 1, 1)
        expected.append(weight * (image - mean) / np.sqrt(var + 1e-5) + bias)
    out = layer.eval()(torch.from_numpy(images))
    torch.testing.assert_close(out, torch.from_numpy(np.concatenate(expected)))


def test_batch_sizes_and_windows_are_at_least_1():
    with pytest.raises(ValueError, match='batch_size must be >= 1, got 0'):
        EvalNorm(C, batch_size=0)
    with pytest.raises(ValueError, match='buffer_size must be >= 1, got 0'):
        MABN(C, buffer_size=0)


def test_mabn_is_its_algorithm_in_numpy_forward_and_backward():
    size, warmup, start, eps = 2, 4, 5, 1e-5
    layer = randomised(
        MABN(C, buffer_size=size, warmup=warmup, renorm_start=start, momentum=0.1, r_max=1.2)
    )
    weight, bias = numpy_of(layer)
    rng = np.random.default_rng(0)
    running, x2s, gzs, clipped = np.ones((1, C, 1, 1)), [], [], set()

    def mean(values):
        return values.mean((0, 2, 3), keepdims=True)

    for step in range(1, 10):
        x, grad = rng.normal(size=(2, 2, C, 3, 4)) * (1 + step / 3) + 0.3
        x2s.append(mean(x * x))
        moving = step > size and step >= warmup
        chi = np.mean(x2s[-size:], 0) if moving else x2s[-1]
        ratio = np.sqrt((chi + eps) / (running + eps))
        r = np.clip(ratio, 1 / 1.2, 1.2) if step > start else 1.0
        z = x / np.sqrt(chi + eps)
        running = 0.9 * running + 0.1 * chi
        g = grad * weight * r
        gzs.append(mean(g * z))
        dx = (g - z * (np.mean(gzs[-size:], 0) if moving else gzs[-1])) / np.sqrt(chi + eps)
        if step > start:
            clipped.add(bool((ratio > 1.2).any()))

        value = torch.from_numpy(x).requires_grad_()
        layer.zero_grad()
        out = layer(value)
        out.backward(torch.from_numpy(grad))
        for ours, theirs in (
            (out, weight * r * z + bias),
            (value.grad, dx),
            (layer.weight.grad, (grad * r * z).sum((0, 2, 3))),
            (layer.bias.grad, grad.sum((0, 2, 3))),
            (layer.running_var, running.flatten()),
        ):
            torch.testing.assert_close(ours.detach(), torch.from_numpy(np.asarray(theirs)))
    assert clipped == {True, False} or clipped == {True}
    x = rng.normal(size=(2, C, 3, 4))
    expected = weight * x / np.sqrt(running + eps) + bias
    torch.testing.assert_close(layer.eval()(torch.from_numpy(x)), torch.from_numpy(expected))


def test_mabn_starts_with_the_gradient_of_a_second_moment():
    layer = randomised(MABN(C))
    x = torch.randn(2, C, 3, 4).double()
    results = []
    for function in (layer, lambda x: second_moment(layer, x)):
        value = x.clone().requires_grad_()
        out = function(value)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        results.append((out, value.grad))
    torch.testing.assert_close(*results)


def second_moment(layer, x):
    """By PyTorch's autograd."""
    x_hat = x / (x.square().mean((0, 2, 3), keepdim=True) + layer.eps).sqrt()
    return layer.weight.view(1, -1, 1, 1) * x_hat + layer.bias.view(1, -1, 1, 1)


def test_two_levels_in_one_graph_keep_their_own_windows():
    """As in a shared head, and one layer twice before a backward pass."""
    layer = randomised(MABN(C, buffer_size=2, warmup=1))
    x = torch.randn(3, 2, C, 3, 4).double().requires_grad_()
    sum(layer(part).square().sum() for part in x).backward()
    assert torch.isfinite(x.grad).all()
    assert layer.num_batches_tracked == 3
    assert layer.window_gz.abs().amin() > 0
