"""TLU, Affine-TLU and DyT as one op, against PyTorch's functions in fp64."""

import pytest
import torch
from frn_equations import LAYOUTS, assert_all_match, contiguous, rows
from op_calls import random_inputs
from torch.autograd import gradcheck

from mmdet_frn import ops

CPU = torch.device('cpu')
PARAMS = {'tlu': 1, 'affine_tlu': 2, 'dyt': 3}
SHAPES = [(2, 12, 5, 7), (2, 6, 97, 93), (3, 8), (2, 6, 5), (2, 4, 2, 3, 2), (1, 132, 3, 3)]
EQUATIONS = {
    'tlu': torch.maximum,
    'affine_tlu': lambda x, kappa, tau: torch.maximum(x, kappa * x + tau),
    'dyt': lambda x, weight, bias, alpha: weight * torch.tanh(alpha * x) + bias,
}


@pytest.fixture(params=PARAMS)
def function(request):
    return request.param


@pytest.fixture(params=['fused', 'reference'])
def namespace(request):
    """Where the functions are: on the fused kernels, then on the reference."""
    if request.param == 'reference':
        return ops.reference
    need_kernels()
    return ops


def need_kernels():
    if not ops.library.runs_fused('pointwise', CPU):
        pytest.skip('compiled library absent, or older than this op')


def make_inputs(function, shape, dtype, layout=contiguous):
    """X and the parameters, which require gradients."""
    inputs = random_inputs(shape, dtype, layout, PARAMS[function])
    return [t.requires_grad_() for t in inputs]


def check(op, function, inputs):
    x, *params = (t.detach().double().requires_grad_() for t in inputs)
    per_channel = [rows(p, x) for p in params]
    desired = EQUATIONS[function](x, *per_channel)
    dz = torch.randn(x.shape).to(inputs[0].dtype)
    if function != 'dyt':  # where the two of the maximum are near, rounding decides
        other = per_channel[-1] + (per_channel[0] * x if function == 'affine_tlu' else 0)
        dz[(x - other).abs() < 1e-3 * (1 + x.abs())] = 0
    grads = torch.autograd.grad(desired, [x, *params], dz.double())
    names = ['x', 'first', 'second', 'third'][: len(inputs)]
    expected = {'z': desired.detach(), **dict(zip(names, grads, strict=True))}
    assert_all_match(op(*inputs), dict(zip(names, inputs, strict=True)), dz, expected)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_is_its_equation_with_its_gradients(namespace, function, layout):
    for shape in SHAPES:
        inputs = make_inputs(function, shape, torch.float32, LAYOUTS[layout])
        check(getattr(namespace, function), function, inputs)


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_dtypes(namespace, function, layout, dtype):
    for shape in SHAPES:
        inputs = make_inputs(function, shape, dtype, LAYOUTS[layout])
        check(getattr(namespace, function), function, inputs)


def test_a_large_map_is_the_same_with_any_threads(function):
    """Large enough to be written past the caches."""
    need_kernels()
    before = torch.get_num_threads()
    for layout in ('contiguous', 'channels_last'):
        inputs = make_inputs(function, (2, 64, 192, 192), torch.float32, LAYOUTS[layout])
        results = []
        try:
            for threads in (1, 7):
                torch.set_num_threads(threads)
                z = getattr(ops, function)(*inputs)
                results.append((z, *torch.autograd.grad(z, inputs, inputs[0])))
        finally:
            torch.set_num_threads(before)
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
        want = getattr(ops.reference, function)(*inputs)
        torch.testing.assert_close(results[0][0], want)


def test_a_tie_goes_to_x(namespace):
    x = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 3).requires_grad_()
    kappa, tau = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    for op, params in ((namespace.tlu, [tau]), (namespace.affine_tlu, [tau, kappa])):
        dx, *_, dtau = torch.autograd.grad(op(x, *reversed(params)).sum(), [x, *params[::-1]])
        assert dx.flatten().tolist() == [0, 1, 1]
        assert dtau.tolist() == [1]


def test_tanh_is_precise_near_0_and_1_far_from_it():
    need_kernels()
    one = torch.ones(1)
    x = torch.cat([torch.logspace(-30, 3, 4000), torch.tensor([torch.inf])])
    x = torch.cat([x, -x]).view(1, 1, -1)
    torch.testing.assert_close(
        ops.dyt(x, one, 0 * one, one).double(), x.double().tanh(), rtol=3e-7, atol=0
    )


def test_nan_goes_through(namespace):
    one = torch.ones(1)
    x = torch.tensor([torch.nan, 1.0, 2.0]).view(1, 1, 3)
    for op, params in (
        (namespace.tlu, [one]),
        (namespace.affine_tlu, [one, one]),
        (namespace.dyt, [one, one, one]),
    ):
        assert op(x, *params).isnan().flatten().tolist() == [True, False, False]
    for op, params in ((namespace.tlu, []), (namespace.dyt, [one, one])):
        assert op(x, *params, torch.nan * one).isnan().all()


def test_one_alpha_gets_the_sum_over_the_channels(namespace):
    x, weight, bias, _ = make_inputs('dyt', (2, 6, 4, 5), torch.float64)
    alpha = torch.tensor([0.5]).double().requires_grad_()
    assert gradcheck(namespace.dyt, (x, weight, bias, alpha))


def test_errors_name_argument_and_value(function):
    x, *params = make_inputs(function, (2, 4, 5, 5), torch.float32)
    last = {'tlu': 'tau', 'affine_tlu': 'tau', 'dyt': 'bias'}[function]
    params[1 if function == 'dyt' else -1] = torch.ones(3)
    with pytest.raises(ValueError, match=f'{last} must have one element per channel'):
        getattr(ops, function)(x, *params)
    need_kernels()
    op = torch.ops.mmdet_frn.pointwise
    with pytest.raises(ValueError, match=f'{last} must have one element per channel'):
        op(x, params, function)
    with pytest.raises(ValueError, match=f'{PARAMS[function]} parameters, but 0 are given'):
        op(x, [], function)
    with pytest.raises(ValueError, match='function must be tlu, affine_tlu or dyt, but is erf'):
        op(x, params, 'erf')
