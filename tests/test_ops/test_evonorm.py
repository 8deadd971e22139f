"""EvoNorm-S0 as an op, against its equation in fp64."""

import pytest
import torch
from frn_equations import LAYOUTS, assert_matches, contiguous, rows
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from mmdet_frn import ops

CPU = torch.device('cpu')
EPS = 1e-3
NAMES = ('x', 'weight', 'bias', 'v')
# Groups of 1, 2, 4 and 12 channels; rows of a position, of a few, and of more than a block.
CASES = [((2, 12, 5, 7), 12), ((3, 12, 4, 4), 6), ((2, 12, 9, 11), 3), ((2, 6, 97, 93), 3)]
ODD = [
    ((1, 4, 200, 51), 1),
    ((3, 8), 4),
    ((2, 6, 5), 2),
    ((2, 4, 2, 3, 2), 2),
    ((2, 132, 3, 3), 33),
]


@pytest.fixture(params=['fused', 'reference'])
def evonorm(request):
    """``evonorm_s0`` of mmdet_frn.ops; on the fused kernels, then on the reference."""
    if request.param == 'reference':
        return ops.reference.evonorm_s0
    need_kernels()
    return ops.evonorm_s0


def need_kernels():
    if not ops.library.runs_fused_op('evonorm_s0', CPU):
        pytest.skip('compiled library absent, or older than this op')


def make_inputs(shape, groups, dtype, with_v=True, layout=contiguous, mean=0.5):
    """(x, groups, weight, bias, v, eps) that require gradients."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    x = layout((torch.randn(shape, dtype=torch.float64) + mean).to(dtype)).requires_grad_()
    weight, bias, v = (torch.randn(shape[1], dtype=wide).requires_grad_() for _ in range(3))
    return x, groups, weight, bias, v if with_v else None, EPS


def tensors(args):
    return [t for t in args if isinstance(t, torch.Tensor)]


def equation(x, groups, weight, bias, v, eps):
    """Liu et al. 2020, Table 2, in fp64."""
    var = x.reshape(x.shape[0], groups, -1).var(2, unbiased=False)
    std = (var + eps).sqrt().repeat_interleave(x.shape[1] // groups, 1)
    acted = x if v is None else x * torch.sigmoid(rows(v, x) * x)
    return rows(weight, x) * acted / std.view(*std.shape, *[1] * (x.dim() - 2)) + rows(bias, x)


def check(op, args):
    doubles = [t.detach().double().requires_grad_() for t in tensors(args)]
    dz = torch.randn(args[0].shape).to(args[0].dtype)
    groups, v = args[1], doubles[3] if len(doubles) > 3 else None
    desired = equation(doubles[0], groups, doubles[1], doubles[2], v, EPS)
    z = op(*args)
    assert z.dtype == args[0].dtype
    assert_matches('z', z, desired.detach())
    grads = torch.autograd.grad(z, tensors(args), dz)
    expected = torch.autograd.grad(desired, doubles, dz.double())
    for name, grad, want, given in zip(NAMES, grads, expected, tensors(args), strict=False):
        assert grad.dtype == given.dtype, name
        terms = 1 if name == 'x' else dz.numel() // dz.shape[1]
        assert_matches(name, grad, want, terms)


@pytest.mark.parametrize('with_v', [True, False], ids=['v', 'no-v'])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_is_its_equation_with_its_gradients(evonorm, with_v, layout):
    for shape, groups in CASES:
        check(evonorm, make_inputs(shape, groups, torch.float32, with_v, LAYOUTS[layout]))


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
@pytest.mark.parametrize(
    'dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str
)
def test_dtypes_and_odd_shapes(evonorm, layout, dtype):
    for shape, groups in ODD:
        check(evonorm, make_inputs(shape, groups, dtype, layout=LAYOUTS[layout]))


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
def test_a_mean_far_above_the_deviation(layout):
    need_kernels()
    args = make_inputs((2, 8, 40, 41), 2, torch.float32, layout=LAYOUTS[layout], mean=100.0)
    doubles = [t.double() if isinstance(t, torch.Tensor) else t for t in args]
    want = equation(*doubles)
    # A unit in the last place of x moves the deviation of its group by no more than 1e-5.
    assert (ops.evonorm_s0(*args) - want).abs().max() / want.abs().max() < 1e-5


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
def test_a_sample_is_the_same_in_any_batch_and_with_any_threads(layout):
    need_kernels()
    x, *rest = make_inputs((5, 6, 70, 81), 2, torch.float32, layout=LAYOUTS[layout])
    before, results = torch.get_num_threads(), []
    try:
        for threads, count in ((1, 1), (7, 5), (before, 2)):
            torch.set_num_threads(threads)
            part = LAYOUTS[layout](x[:count].detach()).requires_grad_()
            z = ops.evonorm_s0(part, *rest)
            z.square().sum().backward()
            results.append((z[0], part.grad[0]))
    finally:
        torch.set_num_threads(before)
    for z, dx in results[1:]:
        assert torch.equal(z, results[0][0])
        assert torch.equal(dx, results[0][1])


def test_far_from_0_the_sigmoid_is_0_or_1(evonorm):
    # exp(-x) leaves the range of fp32 at -88.7; in between its result is subnormal.
    x = torch.cat([torch.linspace(-90, -87, 63), torch.tensor([0.0, 200])])
    x = x.view(1, 1, 5, 13).requires_grad_()
    one = torch.ones(1)
    v = one.clone().requires_grad_()
    z = evonorm(x, 1, one, 0 * one, v)
    torch.testing.assert_close(z, x.relu() / (x.var(unbiased=False) + 1e-5).sqrt())
    for grad in torch.autograd.grad(z.sum(), [x, v]):
        assert grad.isfinite().all()


def test_nan_goes_through(evonorm):
    x, groups, weight, bias, v, eps = make_inputs((2, 4, 6, 7), 2, torch.float32)
    v = v.detach().index_fill(0, torch.tensor([3]), torch.nan)
    x = x.detach().clone()
    x[0, 0, 2, 3] = torch.nan
    z = evonorm(x, groups, weight, bias, v, eps)
    assert z[0, :2].isnan().all()
    assert z[:, 3].isnan().all()
    assert not z[1, :3].isnan().any()


def test_no_images(evonorm):
    args = make_inputs((0, 4, 6, 7), 2, torch.float32)
    z = evonorm(*args)
    assert z.shape == (0, 4, 6, 7)
    assert not any(grad.any() for grad in torch.autograd.grad(z.sum(), tensors(args)))


@pytest.mark.parametrize('fused', [True, False], ids=['fused', 'reference'])
def test_errors_name_argument_value_and_remedy(fused, monkeypatch):
    if not fused:
        monkeypatch.setitem(ops.evonorm_s0.__globals__, 'runs_fused_op', lambda *args: False)
    x, one = torch.ones(2, 4, 5, 5), torch.ones(4)
    for change, message in (
        (dict(num_groups=3), 'num_groups must divide the number of channels of x, 4'),
        (dict(eps=-1e-5), 'eps must be at least 0, but is -1e-05'),
        (dict(v=torch.ones(3)), r'v must have one element per channel, \(4,\)'),
    ):
        with pytest.raises(ValueError, match=message):
            ops.evonorm_s0(**dict(x=x, num_groups=2, weight=one, bias=one, v=one) | change)
    with pytest.raises(TypeError, match='v must be a tensor, but is a list'):
        ops.evonorm_s0(x, 2, one, one, [1.0] * 4)


@pytest.mark.parametrize('with_v', [True, False])
@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
def test_gradients_to_second_order(with_v, layout):
    need_kernels()
    args = make_inputs((2, 4, 3, 3), 2, torch.float64, with_v, LAYOUTS[layout])
    assert gradcheck(ops.evonorm_s0, args, nondet_tol=0)
    assert gradgradcheck(ops.evonorm_s0, args)
    fused, differentiable = (
        torch.autograd.grad(ops.evonorm_s0(*args).square().sum(), tensors(args), create_graph=c)
        for c in (False, True)
    )
    torch.testing.assert_close(fused, differentiable, rtol=1e-9, atol=1e-9)


def test_keeps_nothing_of_the_size_of_x_but_x():
    need_kernels()
    args = make_inputs((2, 6, 8, 8), 2, torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        ops.evonorm_s0(*args)
    assert [t.data_ptr() for t in saved if t.numel() > 12] == [args[0].data_ptr()]


@pytest.mark.parametrize('with_v', [True, False])
def test_opcheck(with_v):
    need_kernels()
    x, groups, weight, bias, v, eps = make_inputs((2, 4, 3, 3), 2, torch.float32, with_v)
    checks = ('test_schema', 'test_autograd_registration', 'test_faketensor')
    op = torch.ops.mmdet_frn.evonorm_s0.default
    torch.library.opcheck(op, (x, weight, bias, groups, eps, v), test_utils=checks)
    args = [t.detach() if t is not None else None for t in (x, weight, bias, v)]
    forward = torch.ops.mmdet_frn.evonorm_s0_forward.default
    full = (*args[:3], groups, eps, args[3])
    torch.library.opcheck(forward, full, test_utils=checks)
    z, stats = forward(*full)
    full = (torch.randn_like(z), args[0], stats, *full[1:], [True, True, True, with_v])
    backward = torch.ops.mmdet_frn.evonorm_s0_backward.default
    torch.library.opcheck(backward, full, test_utils=('test_schema', 'test_faketensor'))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias, self.v = (nn.Parameter(torch.rand(6)) for _ in range(3))

    def forward(self, x):
        y = ops.evonorm_s0(x, 3, self.weight, self.bias, self.v)
        return ops.evonorm_s0(y, 2, self.weight, self.bias)


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
