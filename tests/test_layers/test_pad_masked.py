"""Layers that leave out the padding of a batch, against torch and FRN on each image alone."""

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers import randomised
from torch import nn
from torch.nn import functional as F

from mmdet_frn.layers import (
    FRN,
    TLU,
    PadMaskedConv,
    PadMaskedFRN,
    PadMaskedGN,
    PadMaskedMaxPool,
    norm_act,
    set_image_sizes,
)

C = 8
SIZES = [(50, 64), (64, 37)]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture
def batch():
    """A batch of 64x96 with images of SIZES, for as long as the test runs."""
    inputs = torch.zeros(2, 3, 64, 96)
    set_image_sizes(inputs, SIZES)
    return inputs


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('act', [None, TLU(C, 0.3), nn.ReLU(), nn.SiLU()])
def test_an_images_frn_and_gradients_are_bitwise_those_without_padding(act, layout, batch):
    frn = randomised(FRN(C))
    masked = PadMaskedFRN(C)
    masked.load_state_dict(frn.state_dict())
    # At stride 4: 13x16 and 16x10 of 16x24.
    x = torch.randn(2, C, 16, 24).to(memory_format=layout)
    residual = None if act is None else torch.randn_like(x)
    cuts = [(slice(0, 13), slice(0, 16)), (slice(0, 16), slice(0, 10))]

    def run(norm, x, residual):
        x = x.clone(memory_format=torch.preserve_format).requires_grad_()
        out = norm(x) if act is None else norm_act(x, norm, act, residual)
        out.square().sum().backward()
        return out.detach(), x.grad

    out, grad = run(masked, x, residual)
    for i, (rows, columns) in enumerate(cuts):
        image, added = (
            t if t is None else t[i : i + 1, :, rows, columns].contiguous(memory_format=layout)
            for t in (x, residual)
        )
        expected, expected_grad = run(frn, image, added)
        assert torch.equal(out[i : i + 1, :, rows, columns], expected)
        assert torch.equal(grad[i : i + 1, :, rows, columns], expected_grad)
        for t in (out, grad):
            t[i, :, rows, columns] = 0
    assert not out.any()
    assert not grad.any()


def test_gn_is_torchs_on_each_image(batch):
    masked = randomised(PadMaskedGN(C, num_groups=4)).double()
    x = torch.randn(2, C, 8, 12, dtype=torch.float64)  # 7x8 and 8x5
    out = masked(x)
    for i, (h, w) in enumerate([(7, 8), (8, 5)]):
        expected = F.group_norm(x[i : i + 1, :, :h, :w], 4, masked.weight, masked.bias)
        torch.testing.assert_close(out[i : i + 1, :, :h, :w], expected)
    assert out[0, :, 7:].abs().sum() == out[1, :, :, 5:].abs().sum() == 0


@pytest.mark.parametrize(('kernel', 'stride'), [(1, 1), (3, 1), (3, 2), (7, 2)])
def test_a_convolution_sees_the_border_of_each_image(kernel, stride, batch):
    conv = PadMaskedConv(C, 4, kernel, stride, kernel // 2).double()
    x = torch.randn(2, C, 16, 24, dtype=torch.float64)
    out = conv(x)
    for i, (h, w) in enumerate([(13, 16), (16, 10)]):
        expected = F.conv2d(x[i : i + 1, :, :h, :w], conv.weight, conv.bias, stride, kernel // 2)
        torch.testing.assert_close(
            out[i : i + 1, :, : expected.shape[2], : expected.shape[3]], expected
        )


def test_max_pooling_of_negative_maps_does_not_see_the_padding(batch):
    x = -torch.rand(2, C, 32, 48) - 1  # 25x32 and 32x19
    out = PadMaskedMaxPool(3, 2, 1)(x)
    assert out.shape == (2, C, 16, 24)
    for i, (h, w) in enumerate([(25, 32), (32, 19)]):
        expected = F.max_pool2d(x[i : i + 1, :, :h, :w], 3, 2, 1)
        assert torch.equal(out[i : i + 1, :, : expected.shape[2], : expected.shape[3]], expected)


@pytest.mark.parametrize(
    ('extent', 'rows'), [(64, 50), (32, 25), (16, 13), (8, 7), (4, 4), (2, 2), (1, 1)]
)
def test_a_map_of_every_stride_is_cut_where_the_image_alone_would_end(extent, rows, batch):
    layer = PadMaskedGN(C, num_groups=1)
    nn.init.ones_(layer.bias)
    nn.init.zeros_(layer.weight)
    out = layer(torch.randn(2, C, extent, -(-96 // (64 // extent))))
    assert out[0, 0, :, 0].sum() == rows
    # What layers of stride 2 make of the image alone.
    alone = torch.zeros(1, 1, 50, 64)
    while alone.shape[2] > rows:
        alone = F.max_pool2d(alone, 3, 2, 1)
    assert alone.shape[2] == rows


def test_without_a_batch_or_after_it_nothing_is_masked():
    x = torch.randn(2, C, 16, 24)
    layer = PadMaskedFRN(C)
    expected = FRN(C)(x)
    assert torch.equal(layer(x), expected)
    inputs = torch.zeros(2, 3, 64, 96)
    set_image_sizes(inputs, SIZES)
    assert not torch.equal(layer(x), expected)
    other = torch.zeros(2, 3, 64, 96)
    set_image_sizes(other, SIZES)
    del inputs  # an earlier batch, which is no longer the one in the network
    gc.collect()
    assert not torch.equal(layer(x), expected)
    del other
    gc.collect()
    assert torch.equal(layer(x), expected)


def test_another_thread_such_as_autograds_sees_the_same_batch(batch):
    x, layer = torch.randn(2, C, 16, 24), PadMaskedFRN(C)
    with ThreadPoolExecutor(1) as pool:
        assert torch.equal(pool.submit(layer, x).result(), layer(x))


def test_maps_that_are_not_the_batchs_are_refused(batch):
    layer = PadMaskedGN(C, num_groups=4)
    with pytest.raises(ValueError, match=r'maps \(N, C, H, W\) of the 2 images .* got \(7, 8, 7,'):
        layer(torch.randn(7, C, 7, 7))
    with pytest.raises(ValueError, match='map of height 20 is not that of a batch padded to 64'):
        layer(torch.randn(2, C, 20, 24))
    with pytest.raises(ValueError, match='a size for each of 2, got 1'):
        set_image_sizes(batch, SIZES[:1])
    with pytest.raises(ValueError, match='an image of 65x64 is not within its batch of 64x96'):
        set_image_sizes(batch, [(65, 64), (1, 1)])


def test_a_compiled_layer_follows_the_sizes():
    torch._dynamo.reset()
    layer = nn.Sequential(PadMaskedConv(C, C, 3, padding=1), PadMaskedFRN(C))
    compiled = torch.compile(layer, backend='aot_eager', fullgraph=True)
    x = torch.randn(2, C, 16, 24)
    for sizes in (SIZES, [(64, 96), (64, 96)], [(33, 20), (8, 90)], [(1, 1), (60, 61)]):
        inputs = torch.zeros(2, 3, 64, 96)
        set_image_sizes(inputs, sizes)
        torch.testing.assert_close(compiled(x), layer(x))
    torch._dynamo.reset()
