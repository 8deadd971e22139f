"""EvoNorm-S0 as an op, against its equation in fp64."""

import pytest
import torch
from frn_equations import LAYOUTS, assert_all_match, contiguous, rows
from op_calls import random_inputs, tensors

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
    if not ops.library.runs_fused('evonorm_s0', CPU):
        pytest.skip('compiled library absent, or older than this op')


def make_inputs(shape, groups, dtype, with_v=True, layout=contiguous, mean=0.5):
    """(x, groups, weight, bias, v, eps) that require gradients."""
    inputs = random_inputs(shape, dtype, layout, 3, mean)
    x, weight, bias, v = (t.requires_grad_() for t in inputs)
    return x, groups, weight, bias, v if with_v else None, EPS


def equation(x, groups, weight, bias, v, eps):
    """Liu et al. 2020, Table 2, in fp64."""
    var = x.reshape(x.shape[0], groups, -1).var(2, unbiased=False)
    std = (var + eps).sqrt().repeat_interleave(x.shape[1] // groups, 1)
    acted = x if v is None else x * torch.sigmoid(rows(v, x) * x)
    return rows(weight, x) * acted / std.view(*std.shape, *[1] * (x.dim() - 2)) + rows(bias, x)


def check(op, args):
    given = dict(zip(NAMES, tensors(args), strict=False))
    doubles = {name: t.detach().double().requires_grad_() for name, t in given.items()}
    dz = torch.randn(args[0].shape).to(args[0].dtype)
    z = equation(groups=args[1], eps=EPS, **{'v': None} | doubles)
    grads = torch.autograd.grad(z, list(doubles.values()), dz.double())
    assert_all_match(
        op(*args), given, dz, {'z': z.detach(), **dict(zip(given, grads, strict=True))}
    )


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


@pytest.mark.parametrize('fused', [True, False], ids=['fused', 'reference'])
def test_errors_name_argument_value_and_remedy(fused, monkeypatch):
    if not fused:
        monkeypatch.setitem(ops.evonorm_s0.__globals__, 'runs_fused', lambda *args: False)
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
