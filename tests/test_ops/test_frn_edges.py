"""FRN + TLU at the edges: ties, zero rows, extremes of fp16, NaN and inf, repeatability."""

import pytest
import torch
from frn_equations import LAYOUTS, make_inputs

from mmdet_frn import ops

HALF = [torch.float16, torch.bfloat16]
LAYOUT = ['contiguous', 'channels_last']


def gradients(op, inputs):
    """Return z and the gradients of all arguments."""
    inputs.requires_grad_()
    z = op(*inputs.args())
    return z, *torch.autograd.grad(z, list(inputs.tensors().values()), inputs.dz)


@pytest.mark.parametrize('layout', LAYOUT)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, *HALF], ids=str)
def test_a_tie_goes_to_y(frn_tlu, device, dtype, layout):
    # Rows of zeros give y = bias exactly, and tau is the same number in channels 0 and 1.
    inputs = make_inputs((2, 3, 5, 9), dtype, device, LAYOUTS[layout])
    inputs.x = torch.zeros_like(inputs.x)
    inputs.bias = inputs.bias.new_tensor([0.25, -0.5, 0.25])
    inputs.tau = inputs.tau.new_tensor([0.25, -0.5, 0.5])
    z, dx, dweight, dbias, dtau = gradients(frn_tlu, inputs)
    dz = inputs.dz.to(dbias.dtype).sum((0, 2, 3))
    assert torch.equal(z.float().amax((0, 2, 3)), z.new_tensor([0.25, -0.5, 0.5]).float())
    assert torch.count_nonzero(dtau[:2]) == 0
    assert dbias[2] == 0
    torch.testing.assert_close(dbias[:2], dz[:2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dtau[2], dz[2], rtol=1e-4, atol=1e-4)
    assert torch.count_nonzero(dweight) == 0
    assert dx.isfinite().all()
    assert torch.count_nonzero(dx[:, 2]) == 0


def test_zero_gamma_leaves_the_residual(frn_tlu, device):
    inputs = make_inputs((2, 3, 5, 9), torch.float32, device, residual=True)
    inputs.weight, inputs.bias, inputs.tau = (torch.zeros(3, device=device) for _ in range(3))
    z, dx, dweight, *_ = gradients(frn_tlu, inputs)
    assert torch.equal(z, inputs.residual.relu())
    assert torch.count_nonzero(dx) == 0
    assert torch.count_nonzero(dweight) == 3


@pytest.mark.parametrize('layout', LAYOUT)
@pytest.mark.parametrize('scale', [6e4, 1e-5])
def test_extremes_of_fp16(frn_tlu, device, scale, layout):
    # Squared in fp16 the one overflows and the other vanishes.
    sign = torch.randn(2, 4, 9, 9, device=device).sign()
    x = LAYOUTS[layout]((sign * scale).half())
    one = torch.ones(4, device=device)
    z = frn_tlu(x, one, 0 * one, -9 * one, 1e-12)
    # rsqrt(scale^2 + eps) * scale, for the value of scale that fp16 holds
    held = x.abs().max().double()
    desired = sign.double() * held / (held**2 + 1e-12).sqrt()
    torch.testing.assert_close(z.double(), desired, rtol=1e-3, atol=0)


@pytest.mark.parametrize('create_graph', [False, True])
@pytest.mark.parametrize('layout', LAYOUT)
@pytest.mark.parametrize(('dtype', 'scale'), [(torch.float32, 3e38), (torch.bfloat16, 1e30),
                                              (torch.float64, 1e300)], ids=str)  # fmt: skip
def test_an_overflowing_mean_square_counts_as_infinite(
    frn_tlu, device, dtype, scale, layout, create_graph
):
    # The result is the bias and no gradient is NaN, where x * dz overflows too.
    inputs = make_inputs((2, 3, 5, 9), dtype, device, LAYOUTS[layout], residual=True, eps='one')
    inputs.x[1] = inputs.x[1].sign() * scale
    inputs.tau = torch.full_like(inputs.tau, -1e3)
    inputs.dz = inputs.dz.abs() * 1e3
    inputs.requires_grad_()
    z = frn_tlu(*inputs.args())
    bias = inputs.bias.view(3, 1, 1) + inputs.residual[1]
    torch.testing.assert_close(z[1], bias.to(dtype))
    wanted = (inputs.x, inputs.weight, inputs.eps)
    dx, *others = torch.autograd.grad(z, wanted, inputs.dz, create_graph=create_graph)
    assert torch.count_nonzero(dx[1]) == 0
    # weight and eps get what they get from the other image.
    alone = frn_tlu(*(t[:1] if t.dim() == 4 else t for t in inputs.args()))
    desired = torch.autograd.grad(alone, wanted[1:], inputs.dz[:1])
    torch.testing.assert_close(others, list(desired), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('layout', LAYOUT)
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_nan_and_inf_go_through(frn_tlu, device, value, layout):
    inputs = make_inputs((2, 3, 5, 9), torch.float32, device, LAYOUTS[layout])
    inputs.x[1, 2, 3, 4] = value
    z = frn_tlu(*inputs.args())
    assert z[1, 2, 3, 4].isnan()
    assert z[0].isfinite().all()
    assert z[1, :2].isfinite().all()


@pytest.mark.parametrize('layout', LAYOUT)
def test_nan_threshold(frn_tlu, device, layout):
    inputs = make_inputs((2, 3, 5, 9), torch.float32, device, LAYOUTS[layout])
    inputs.tau[1] = float('nan')
    z, dx, _, dbias, dtau = gradients(frn_tlu, inputs)
    assert z[:, 1].isnan().all()
    assert z[:, ::2].isfinite().all()
    assert torch.count_nonzero(dx[:, 1]) == 0
    assert dbias[1] == 0
    torch.testing.assert_close(dtau[1], inputs.dz[:, 1].sum())


def test_nan_from_the_gradient(frn_tlu, device):
    # Where the threshold stopped y, a NaN of dz must not leak into dx.
    inputs = make_inputs((1, 2, 4, 4), torch.float32, device)
    inputs.tau = inputs.tau.new_tensor([100.0, -100.0])
    inputs.dz[0, 0] = float('nan')
    _, dx, *_ = gradients(frn_tlu, inputs)
    assert dx.isfinite().all()


@pytest.mark.parametrize('layout', LAYOUT)
@pytest.mark.parametrize('shape', [(3, 5, 7, 9), (2, 130, 40, 40), (1, 2, 200, 200)], ids=str)
def test_bitwise_repeatable(fused, device, shape, layout):
    inputs = make_inputs(shape, torch.float32, device, LAYOUTS[layout], True, 'one')
    first, second = (gradients(ops.frn_tlu, inputs) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('layout', LAYOUT)
@pytest.mark.parametrize('dtype', [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize('shape', [(5, 3, 7, 9), (4, 70, 24, 24), (3, 2, 150, 150)], ids=str)
def test_bitwise_independent_of_the_batch(fused, device, shape, dtype, layout):
    inputs = make_inputs(shape, dtype, device, LAYOUTS[layout], residual=True)
    z, dx, *_, dresidual = gradients(ops.frn_tlu, inputs)
    for n in range(shape[0]):
        alone = make_inputs((1, *shape[1:]), dtype, device, LAYOUTS[layout], residual=True)
        for name in ('weight', 'bias', 'tau'):
            setattr(alone, name, getattr(inputs, name).detach())
        for name in ('x', 'residual', 'dz'):
            setattr(alone, name, LAYOUTS[layout](getattr(inputs, name)[n : n + 1].detach()))
        z_alone, dx_alone, *_, dresidual_alone = gradients(ops.frn_tlu, alone)
        assert torch.equal(z[n : n + 1], z_alone)
        assert torch.equal(dx[n : n + 1], dx_alone)
        assert torch.equal(dresidual[n : n + 1], dresidual_alone)


@pytest.mark.parametrize('create_graph', [False, True])
def test_a_tie_goes_to_y_and_the_residual_gets_its_gradient(frn_tlu, device, create_graph):
    # y = bias + residual everywhere, equal to tau in channel 0, below it in 1 and above it in 2.
    inputs = make_inputs((2, 3, 4, 3), torch.float64, device, residual=True)
    inputs.x = torch.zeros_like(inputs.x)
    inputs.residual = torch.full_like(inputs.residual, 0.5)
    inputs.bias = inputs.bias.new_tensor([0.25, 0.25, 0.25])
    inputs.tau = inputs.tau.new_tensor([0.75, 1.0, 0.5])
    inputs.requires_grad_()
    z = frn_tlu(*inputs.args())
    wanted = (inputs.tau, inputs.bias, inputs.residual)
    dtau, dbias, dresidual = torch.autograd.grad(z, wanted, inputs.dz, create_graph=create_graph)
    sums = inputs.dz.sum((0, 2, 3))
    kept = inputs.dz.new_tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(dtau, sums * (1 - kept))
    torch.testing.assert_close(dbias, sums * kept)
    assert torch.equal(dresidual, inputs.dz * kept.view(1, 3, 1, 1))
