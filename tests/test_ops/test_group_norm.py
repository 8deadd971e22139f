"""Norms over groups of channels with their activation, against PyTorch's own in fp64."""

from functools import partial

import group_equations
import pytest
import torch
from frn_equations import LAYOUTS, assert_all_match, assert_matches
from group_equations import expected
from torch.nn import functional as F

from mmdet_frn import ops

HALF = [torch.float16, torch.bfloat16]
# Groups of 1, 2, 4 and 12 channels; rows of a position, of a few, and of more than a block.
CASES = [((2, 12, 5, 7), 12), ((3, 12, 4, 4), 6), ((2, 12, 9, 11), 3), ((2, 12, 6, 5), 1)]
ODD = [((2, 6, 97, 93), 3), ((1, 4, 200, 51), 1), ((3, 8), 4), ((2, 6, 5), 2), ((2, 4, 2, 3, 2), 2)]
WIDE = [((2, 132, 3, 3), 33), ((1, 200, 4, 3), 2), ((3, 96, 16, 17), 1)]


@pytest.fixture(params=['fused', 'reference'])
def group_norm(request, device):
    """``group_norm`` of mmdet_frn.ops; on the fused kernels, then on the reference."""
    if request.param == 'reference':
        return ops.reference.group_norm
    if not ops.library.has_kernels(device.type, 'group_norm'):
        pytest.skip('compiled library absent, or older than this op')
    return ops.group_norm


@pytest.fixture
def make_inputs(device):
    return partial(group_equations.make_inputs, device=device)


def check(op, inputs):
    inputs.requires_grad_()
    assert_all_match(op(*inputs.args()), inputs.tensors(), inputs.dz, expected(inputs))


@pytest.mark.parametrize('centered', [True, False], ids=['mean', 'no-mean'])
@pytest.mark.parametrize('act', ['tlu', 'relu', None])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_is_torchs_with_its_gradients(group_norm, make_inputs, centered, act, layout):
    for (shape, groups), residual in [(case, r) for case in CASES for r in (False, True)]:
        check(
            group_norm,
            make_inputs(shape, groups, torch.float32, centered, act, residual, LAYOUTS[layout]),
        )


@pytest.mark.parametrize('centered', [True, False], ids=['mean', 'no-mean'])
@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, *HALF], ids=str)
def test_dtypes_and_odd_shapes(group_norm, make_inputs, centered, layout, dtype):
    for shape, groups in ODD + WIDE:
        check(
            group_norm,
            make_inputs(shape, groups, dtype, centered, 'tlu', True, LAYOUTS[layout]),
        )


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_a_mean_far_above_the_deviation(make_inputs, device, layout, dtype):
    """Squares summed about 0 lose the variance, as in PyTorch's own op in channels_last."""
    if not ops.library.has_kernels(device.type, 'group_norm'):
        pytest.skip('compiled library absent, or older than this op')
    inputs = make_inputs((2, 8, 40, 41), 2, dtype, act=None, layout=LAYOUTS[layout], mean=100.0)
    y = F.group_norm(inputs.x.double(), 2, inputs.weight.double(), inputs.bias.double(), 1e-3)
    # A deviation in x of half a unit in the last place is 4e-6 of the group's deviation.
    error = (ops.group_norm(*inputs.args()).double() - y).abs().max() / y.abs().max()
    assert error < {torch.float32: 2e-5, torch.bfloat16: 4e-3}[dtype]


@pytest.mark.parametrize('centered', [True, False], ids=['mean', 'no-mean'])
@pytest.mark.parametrize('create_graph', [False, True])
def test_a_tie_goes_to_y_of_a_tlu_and_nowhere_in_a_relu(group_norm, device, centered, create_graph):
    def vector(*values):
        return torch.tensor(values, dtype=torch.double, device=device)

    # y is the bias: equal to the threshold in channel 0, below it in 1 and above it in 2.
    x = torch.zeros(2, 3, 4, 5, dtype=torch.double, device=device, requires_grad=True)
    one, kept = vector(1, 1, 1), vector(1, 0, 1)
    dz = torch.randn_like(x)
    sums = dz.sum((0, 2, 3))
    bias = (0.5 * one).requires_grad_()
    tau = vector(0.5, 1, 0.25).requires_grad_()
    z = group_norm(x, 1, one, bias, centered=centered, tau=tau)
    dbias, dtau = torch.autograd.grad(z, (bias, tau), dz, create_graph=create_graph)
    torch.testing.assert_close(dbias, sums * kept)
    torch.testing.assert_close(dtau, sums * (1 - kept))
    bias = vector(0, -1, 1).requires_grad_()
    z = group_norm(x, 1, one, bias, centered=centered, relu=True)
    (dbias,) = torch.autograd.grad(z, bias, dz, create_graph=create_graph)
    torch.testing.assert_close(dbias, sums * vector(0, 0, 1))


@pytest.mark.parametrize('centered', [True, False], ids=['mean', 'no-mean'])
def test_nan_goes_through_and_large_halves_do_not_overflow(group_norm, make_inputs, centered):
    inputs = make_inputs((2, 4, 6, 7), 2, torch.float32, centered, 'tlu')
    inputs.x[0, 0, 2, 3] = torch.nan
    inputs.tau[2] = torch.nan
    z = group_norm(*inputs.args())
    assert z[0, :2].isnan().all()  # the group of channels 0 and 1
    assert z[:, 2].isnan().all()
    assert not z[1, [0, 1, 3]].isnan().any()
    large = make_inputs((2, 4, 6, 7), 2, torch.float16, centered, 'relu')
    large.x *= 1e4
    assert_matches('z', group_norm(*large.args()), expected(large.requires_grad_())['z'])


def test_squares_that_overflow_give_the_bias(group_norm, make_inputs):
    inputs = make_inputs((2, 4, 6, 7), 2, torch.float32, False, None)
    inputs.x *= 1e20
    inputs.requires_grad_()
    z = group_norm(*inputs.args())
    torch.testing.assert_close(z, inputs.bias.view(1, 4, 1, 1).expand_as(z))
    dx, dweight = torch.autograd.grad(z, (inputs.x, inputs.weight), inputs.dz)
    assert not dx.any()
    assert not dweight.any()


BAD = {
    'num_groups': (dict(num_groups=3), 'num_groups must divide the number of channels of x, 4'),
    'no groups': (dict(num_groups=0), 'num_groups must divide'),
    'eps': (dict(eps=-1e-5), 'eps must be at least 0, but is -1e-05'),
    'nan': (dict(eps=float('nan')), 'eps must be finite'),
    'two acts': (dict(relu=True), 'tau is the threshold of a TLU, but relu is set'),
    'weight': (dict(weight=torch.ones(3)), r'weight must have one element per channel, \(4,\)'),
    'residual': (dict(residual=torch.ones(2, 4, 5, 1)), 'residual must have the shape and dtype'),
    'empty': (dict(x=torch.ones(2, 4, 0, 5)), 'x has an empty spatial extent'),
}


@pytest.mark.parametrize('fused', [True, False], ids=['fused', 'reference'])
@pytest.mark.parametrize('bad', BAD)
def test_errors_name_argument_value_and_remedy(bad, fused, monkeypatch):
    if not fused:
        monkeypatch.setitem(ops.group_norm.__globals__, 'runs_fused', lambda *args: False)
    change, message = BAD[bad]
    one = torch.ones(4)
    args = dict(x=torch.ones(2, 4, 5, 5), num_groups=2, weight=one, bias=one, tau=one) | change
    with pytest.raises(ValueError, match=message):
        ops.group_norm(**args)


@pytest.mark.parametrize('fused', [True, False], ids=['fused', 'reference'])
def test_what_is_no_tensor_is_a_type_error(fused, monkeypatch):
    if not fused:
        monkeypatch.setitem(ops.group_norm.__globals__, 'runs_fused', lambda *args: False)
    x, one = torch.ones(2, 4, 5, 5), torch.ones(4)
    with pytest.raises(TypeError, match='weight must be a tensor, but is a list'):
        ops.group_norm(x, 2, [1.0] * 4, one)
    with pytest.raises(TypeError, match='eps must be a number or a tensor, but is a str'):
        ops.group_norm(x, 2, one, one, '1e-5')


def test_default_eps_of_the_grouped_ops_is_that_of_pytorchs_norms(device):
    # Mean 0 and variance 1e-5: y is 1 / sqrt(2) for an eps of 1e-5, 0.95 for 1e-6. EvoNorm-S0
    # without v is then group norm.
    x = torch.full((1, 2, 4, 4), 1e-5**0.5, device=device)
    x[..., ::2] *= -1
    one = torch.ones(2, device=device)
    args = (x, 2, one, 0 * one)
    expected = torch.nn.functional.group_norm(*args[:2])
    results = [norm(*args) for norm in (ops.group_norm, ops.reference.group_norm)]
    results += [norm(*args) for norm in (ops.evonorm_s0, ops.reference.evonorm_s0)]
    if ops.library.has_kernels(device.type):
        kernels = torch.ops.mmdet_frn.group_norm, torch.ops.mmdet_frn.evonorm_s0
        results += [kernel(x, one, 0 * one, 2) for kernel in kernels]
    for y in results:
        torch.testing.assert_close(y, expected)
