"""TLU, Affine-TLU and DyT as one op, against PyTorch's functions in fp64."""

import pytest
import torch
from frn_equations import LAYOUTS, assert_all_match
from pointwise_equations import PARAMS, expected, make_inputs
from torch.autograd import gradcheck

from mmdet_frn import ops

CPU = torch.device('cpu')
SHAPES = [(2, 12, 5, 7), (2, 6, 97, 93), (3, 8), (2, 6, 5), (2, 4, 2, 3, 2), (1, 132, 3, 3)]


@pytest.fixture(params=PARAMS)
def function(request):
    return request.param


@pytest.fixture(params=['fused', 'reference'])
def namespace(request, device):
    """Where the functions are: on the fused kernels, then on the reference."""
    if request.param == 'reference':
        return ops.reference
    need_kernels(device)
    return ops


def need_kernels(device=CPU):
    if not ops.library.has_kernels(device.type, 'pointwise'):
        pytest.skip('compiled library absent, or older than this op')


def check(op, inputs):
    inputs.requires_grad_()
    z = op(inputs.x, *inputs.params)
    assert_all_match(z, inputs.tensors(), inputs.dz, expected(inputs))


@pytest.mark.parametrize('layout', LAYOUTS)
def test_is_its_equation_with_its_gradients(namespace, function, layout, device):
    for shape in SHAPES:
        inputs = make_inputs(function, shape, torch.float32, LAYOUTS[layout], device)
        check(getattr(namespace, function), inputs)


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_dtypes(namespace, function, layout, dtype, device):
    for shape in SHAPES:
        inputs = make_inputs(function, shape, dtype, LAYOUTS[layout], device)
        check(getattr(namespace, function), inputs)


def test_a_large_map_is_the_same_with_any_threads(function):
    """Large enough to be written past the caches."""
    need_kernels()
    before = torch.get_num_threads()
    for layout in ('contiguous', 'channels_last'):
        made = make_inputs(function, (2, 64, 192, 192), torch.float32, LAYOUTS[layout])
        inputs = list(made.requires_grad_().tensors().values())
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


def test_a_tie_goes_to_x(namespace, device):
    x = torch.tensor([-1.0, 0.0, 1.0], device=device).view(1, 1, 3).requires_grad_()
    kappa, tau = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
    for op, params in ((namespace.tlu, [tau]), (namespace.affine_tlu, [tau, kappa])):
        dx, *_, dtau = torch.autograd.grad(op(x, *reversed(params)).sum(), [x, *params[::-1]])
        assert dx.flatten().tolist() == [0, 1, 1]
        assert dtau.tolist() == [1]


def test_tanh_is_precise_near_0_and_1_far_from_it(device):
    need_kernels(device)
    one = torch.ones(1, device=device)
    x = torch.cat([torch.logspace(-30, 3, 4000), torch.tensor([torch.inf])])
    x = torch.cat([x, -x]).view(1, 1, -1).to(device)
    torch.testing.assert_close(
        ops.dyt(x, one, 0 * one, one).double(), x.double().tanh(), rtol=3e-7, atol=0
    )


def test_nan_goes_through(namespace, device):
    one = torch.ones(1, device=device)
    x = torch.tensor([torch.nan, 1.0, 2.0], device=device).view(1, 1, 3)
    for op, params in (
        (namespace.tlu, [one]),
        (namespace.affine_tlu, [one, one]),
        (namespace.dyt, [one, one, one]),
    ):
        assert op(x, *params).isnan().flatten().tolist() == [True, False, False]
    for op, params in ((namespace.tlu, []), (namespace.dyt, [one, one])):
        assert op(x, *params, torch.nan * one).isnan().all()


def test_one_alpha_gets_the_sum_over_the_channels(namespace, device):
    inputs = make_inputs('dyt', (2, 6, 4, 5), torch.float64, device=device).requires_grad_()
    x, weight, bias, _ = inputs.tensors().values()
    alpha = torch.tensor([0.5], device=device).double().requires_grad_()
    assert gradcheck(namespace.dyt, (x, weight, bias, alpha))


def test_errors_name_argument_and_value(function):
    x, *params = make_inputs(function, (2, 4, 5, 5), torch.float32).tensors().values()
    last = {'tlu': 'tau', 'affine_tlu': 'tau', 'dyt': 'bias'}[function]
    params[1 if function == 'dyt' else -1] = torch.ones(3)
    with pytest.raises(ValueError, match=f'{last} must have one element per channel'):
        getattr(ops, function)(x, *params)
    need_kernels()
    op = torch.ops.mmdet_frn.pointwise
    with pytest.raises(ValueError, match=f'{last} must have one element per channel'):
        op(x, params, function)
    with pytest.raises(ValueError, match=f'{len(PARAMS[function])} parameters, but 0 are given'):
        op(x, [], function)
    with pytest.raises(ValueError, match='function must be tlu, affine_tlu or dyt, but is erf'):
        op(x, params, 'erf')
