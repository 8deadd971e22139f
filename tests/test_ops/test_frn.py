"""Values and gradients of FRN + TLU against fp64, over dtypes, layouts, shapes and arguments."""

import pytest
import torch
from frn_equations import (
    LAYOUTS,
    TOLERANCE,
    Inputs,
    assert_op_matches,
    channels_last,
    expected,
    make_inputs,
)

from benchmarks.memory import peak_bytes
from mmdet_frn import ops

DTYPES = list(TOLERANCE)
# H*W of 1, 49, 77, 273, 1050; one, two and three spatial dims and none; N = 0; C = 1; C past a
# vector and past the padding of the channels_last loops.
SMALL = [
    (2, 3, 1, 1),
    (2, 5, 7, 7),
    (2, 3),
    (2, 40),
    (2, 3, 77),
    (2, 70, 13, 21),
    (1, 8, 25, 42),
    (2, 3, 3, 5, 7),
    (0, 3, 4, 4),
    (0, 3),
    (2, 1, 5, 5),
]
LONG = [(1, 2, 256, 256), (2, 1, 512, 512), (1, 3, 512, 512)]


@pytest.mark.parametrize('eps', ['number', 'one', 'channel'])
@pytest.mark.parametrize('residual', [False, True], ids=['plain', 'residual'])
@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_matches_the_equations(frn_tlu, device, dtype, layout, residual, eps):
    for shape in SMALL:
        inputs = make_inputs(shape, dtype, device, LAYOUTS[layout], residual, eps)
        assert_op_matches(frn_tlu, inputs)


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
@pytest.mark.parametrize('shape', LONG, ids=str)
@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_long_rows(frn_tlu, device, dtype, shape, layout):
    assert_op_matches(frn_tlu, make_inputs(shape, dtype, device, LAYOUTS[layout], True, 'one'))


# From 16 MB on the CPU kernels write past the caches; the first has rows and positions of whole
# vectors, the second not.
@pytest.mark.parametrize('layout', ['contiguous', 'channels_last', 'misaligned'])
@pytest.mark.parametrize(('channels', 'width'), [(64, 352), (61, 381)])
@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_large_outputs(fused, device, dtype, channels, width, layout):
    height = (16 << 20) // (channels * width * dtype.itemsize) + 1
    shape = (1, channels, height, width)
    inputs = make_inputs(shape, dtype, device, LAYOUTS[layout], residual=True)
    assert inputs.x.nbytes >= 16 << 20
    assert_op_matches(ops.frn_tlu, inputs)


def test_default_eps_is_that_of_the_paper(device):
    # With x^2 = 1e-6, y is 1 / sqrt(2) for the paper's 1e-6 and 0.30 for 1e-5.
    x, one = torch.full((1, 2, 3, 3), 1e-3, device=device), torch.ones(2, device=device)
    args = (x, one, 0 * one)
    results = [f(*args) for f in (ops.frn, ops.reference.frn)]
    results += [f(*args, -one) for f in (ops.frn_tlu, ops.reference.frn_tlu)]
    if ops.library.has_kernels(device.type):
        results.append(torch.ops.mmdet_frn.frn(*args))
    for y in results:
        torch.testing.assert_close(y, torch.full_like(x, 0.5**0.5))


def test_without_threshold(fused, device):
    inputs = make_inputs((2, 5, 7, 7), torch.float32, device)
    inputs.tau = torch.full_like(inputs.tau, -100.0)
    desired = expected(inputs)['z']
    x, weight, bias, _, eps, _ = inputs.args()
    z = fused(x, weight, bias, None, eps)
    torch.testing.assert_close(z.double(), desired, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ops.frn(x, weight, bias, eps), z, rtol=0, atol=0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_mean_square_of_a_million_elements(fused, device, dtype):
    # All squares are near one another: a single running fp32 sum would be off by 1e-3.
    x = (1 + 0.1 * torch.rand(1, 2, 1000, 1000, device=device)).to(dtype)
    one = torch.ones(2, device=device)
    for layout in (torch.contiguous_format, torch.channels_last):
        _, rstd = torch.ops.mmdet_frn.frn_forward(
            x.contiguous(memory_format=layout), one, one, None, 0.0, None, None
        )
        desired = x.double().square().mean((2, 3)).rsqrt()
        torch.testing.assert_close(rstd.double(), desired, rtol=3e-7, atol=0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_parameters_in_half(frn_tlu, device, dtype):
    inputs = make_inputs((2, 5, 7, 7), dtype, device)
    for name in ('weight', 'bias', 'tau'):
        setattr(inputs, name, getattr(inputs, name).to(dtype))
    inputs.dz[(expected(inputs)['z'] - inputs.tau.view(1, -1, 1, 1)).abs() < 0.1] = 0
    assert_op_matches(frn_tlu, inputs)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize('shape', [(2, 6, 5, 7), (2, 6, 3, 4, 5)], ids=str)
def test_output_and_gradient_keep_the_layout(fused, device, shape, dtype):
    for layout in (LAYOUTS['contiguous'], channels_last):
        inputs = make_inputs(shape, dtype, device, layout, residual=True).requires_grad_()
        z = ops.frn_tlu(*inputs.args())
        # A gradient in the other layout must not change that of dx.
        other = channels_last(inputs.dz) if layout is not channels_last else inputs.dz.contiguous()
        dx, dresidual = torch.autograd.grad(z, (inputs.x, inputs.residual), other)
        assert z.stride() == dx.stride() == dresidual.stride() == inputs.x.stride()


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
def test_gradients_in_any_layout(fused, device, layout):
    inputs = make_inputs((2, 6, 5, 7), torch.float64, device, LAYOUTS[layout], True)
    gradients = {
        'expanded': torch.ones((), dtype=torch.float64, device=device).expand(2, 6, 5, 7),
        'rows': torch.randn(2, 6, 1, 1, dtype=torch.float64, device=device).expand(2, 6, 5, 7),
        'sliced': torch.randn(2, 6, 5, 14, dtype=torch.float64, device=device)[..., ::2],
        'transposed': torch.randn(7, 5, 6, 2, dtype=torch.float64, device=device).permute(
            3, 2, 1, 0
        ),
    }
    for dz in gradients.values():
        inputs.dz = dz
        assert_op_matches(ops.frn_tlu, inputs)


def test_agrees_with_timm(frn_tlu, device):
    timm = pytest.importorskip('timm.layers')
    layer = timm.FilterResponseNormTlu2d(6).to(device)
    for param in layer.parameters():
        torch.nn.init.normal_(param)
    x = torch.randn(3, 6, 9, 5, device=device)
    z = frn_tlu(x, layer.weight, layer.bias, layer.tau, layer.eps)
    torch.testing.assert_close(z, layer(x), rtol=1e-5, atol=1e-5)


def test_inputs_are_not_written_to(frn_tlu, device):
    inputs: Inputs = make_inputs((2, 5, 7, 7), torch.float32, device, residual=True, eps='channel')
    before = [t.clone() for t in (*inputs.tensors().values(), inputs.dz)]
    assert_op_matches(frn_tlu, inputs)
    for old, new in zip(before, (*inputs.tensors().values(), inputs.dz), strict=True):
        assert torch.equal(old, new)


def test_peak_memory_is_no_higher_than_of_batch_norm(fused):
    x = torch.randn(2, 16, 64, 64, requires_grad=True)
    dz = torch.randn_like(x)
    norm = torch.nn.BatchNorm2d(16)
    params = [torch.randn(16, requires_grad=True) for _ in range(3)]

    def batch_norm():
        torch.nn.functional.relu(norm(x), inplace=True).backward(dz)

    def frn():
        ops.frn_tlu(x, *params).backward(dz)

    for run in (batch_norm, frn):
        run()
        x.grad = None
    peaks = []
    for run in (batch_norm, frn):
        x.grad = None
        peaks.append(peak_bytes(run))
    assert peaks[1] <= peaks[0]
