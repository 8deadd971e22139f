"""TLU, Affine-TLU and DyT as one op, against PyTorch's functions in fp64."""

import pytest
import torch
from frn_equations import LAYOUTS, assert_matches, contiguous, rows
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

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
    if not ops.library.runs_fused_op('pointwise', CPU):
        pytest.skip('compiled library absent, or older than this op')


def make_inputs(function, shape, dtype, layout=contiguous):
    """X and the parameters, which require gradients."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    x = layout(torch.randn(shape, dtype=torch.float64).to(dtype)).requires_grad_()
    params = [torch.randn(shape[1], dtype=wide) for _ in range(PARAMS[function])]
    return [x, *(p.requires_grad_() for p in params)]


def check(op, function, inputs):
    x, *params = (t.detach().double().requires_grad_() for t in inputs)
    per_channel = [rows(p, x) for p in params]
    desired = EQUATIONS[function](x, *per_channel)
    dz = torch.randn(x.shape).to(inputs[0].dtype)
    if function != 'dyt':  # where the two of the maximum are near, rounding decides
        other = per_channel[-1] + (per_channel[0] * x if function == 'affine_tlu' else 0)
        dz[(x - other).abs() < 1e-3 * (1 + x.abs())] = 0
    z = op(*inputs)
    assert z.dtype == inputs[0].dtype
    assert_matches('z', z, desired.detach())
    grads = torch.autograd.grad(z, inputs, dz)
    expected = torch.autograd.grad(desired, [x, *params], dz.double())
    for i, (grad, want) in enumerate(zip(grads, expected, strict=True)):
        assert grad.dtype == inputs[i].dtype
        assert_matches(str(i), grad, want, x.numel() // x.shape[1] if i else 1)


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


def test_gradients_to_second_order(function):
    need_kernels()
    op = getattr(ops, function)
    inputs = make_inputs(function, (2, 3, 3, 3), torch.float64)
    assert gradcheck(op, inputs, nondet_tol=0)
    assert gradgradcheck(op, inputs)
    fused, differentiable = (
        torch.autograd.grad(op(*inputs).square().sum(), inputs, create_graph=create)
        for create in (False, True)
    )
    torch.testing.assert_close(fused, differentiable, rtol=1e-9, atol=1e-9)


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


def test_no_images(namespace, function):
    inputs = make_inputs(function, (0, 4, 6, 7), torch.float32)
    z = getattr(namespace, function)(*inputs)
    assert z.shape == (0, 4, 6, 7)
    assert not any(grad.any() for grad in torch.autograd.grad(z.sum(), inputs))


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


def test_opcheck(function):
    need_kernels()
    inputs = make_inputs(function, (2, 4, 3, 3), torch.float32)
    checks = ('test_schema', 'test_autograd_registration', 'test_faketensor')
    op = torch.ops.mmdet_frn.pointwise.default
    torch.library.opcheck(op, (inputs[0], inputs[1:], function), test_utils=checks)
    x, *params = (t.detach() for t in inputs)
    args = (torch.randn_like(x), x, params, function)
    backward = torch.ops.mmdet_frn.pointwise_backward.default
    torch.library.opcheck(backward, args, test_utils=('test_schema', 'test_faketensor'))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.rand(6)) for _ in range(3))

    def forward(self, x):
        y = ops.dyt(x, self.a, self.b, self.c)
        return ops.tlu(ops.affine_tlu(y, self.a, self.b), self.c)


def test_compile_without_graph_break_and_torch_func():
    need_kernels()
    torch._dynamo.reset()
    layer = Layer()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend='aot_eager')
    for shape in [(2, 6, 8, 8), (3, 6, 5, 7)]:
        x, dz = torch.randn(shape).requires_grad_(), torch.randn(shape)
        eager, traced = (
            (z, *torch.autograd.grad(z, (x, *layer.parameters()), dz))
            for z in (layer(x), compiled(x))
        )
        torch.testing.assert_close(traced, eager)
    torch._dynamo.reset()
    x = torch.randn(2, 6, 4, 5)
    got = torch.func.grad(lambda x: layer(x).square().sum())(x)
    with ops.library.reference_only():
        torch.testing.assert_close(got, torch.func.grad(lambda x: layer(x).square().sum())(x))


@pytest.mark.parametrize('transform', ['script', 'trace', 'fx', 'export', 'meta'])
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_every_way_to_capture_it(transform):
    layer, x = Layer(), torch.randn(2, 6, 8, 8)
    if transform == 'meta':
        assert layer.to('meta')(x.to('meta')).shape == x.shape
        return
    captured = {
        'script': lambda: torch.jit.script(layer),
        'trace': lambda: torch.jit.trace(layer, x),
        'fx': lambda: torch.fx.symbolic_trace(layer),
        'export': lambda: torch.export.export(layer, (x,)).module(),
    }[transform]()
    torch.testing.assert_close(captured(x), layer(x), rtol=0, atol=0)
