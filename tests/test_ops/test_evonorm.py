"""EvoNorm-S0 as an op, against its equation in fp64."""

import pytest
import torch
from evonorm_equations import equation, expected, make_inputs
from frn_equations import LAYOUTS, assert_all_match

from mmdet_frn import ops

CPU = torch.device('cpu')
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
def evonorm(request, device):
    """``evonorm_s0`` of mmdet_frn.ops; on the fused kernels, then on the reference."""
    if request.param == 'reference':
        return ops.reference.evonorm_s0
    need_kernels(device)
    return ops.evonorm_s0


def need_kernels(device=CPU):
    if not ops.library.has_kernels(device.type, 'evonorm_s0'):
        pytest.skip('compiled library absent, or older than this op')


def check(op, inputs):
    inputs.requires_grad_()
    assert_all_match(op(*inputs.args()), inputs.tensors(), inputs.dz, expected(inputs))


@pytest.mark.parametrize('with_v', [True, False], ids=['v', 'no-v'])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_is_its_equation_with_its_gradients(evonorm, with_v, layout, device):
    for shape, groups in CASES:
        inputs = make_inputs(shape, groups, torch.float32, with_v, LAYOUTS[layout], device=device)
        check(evonorm, inputs)


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
@pytest.mark.parametrize(
    'dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str
)
def test_dtypes_and_odd_shapes(evonorm, layout, dtype, device):
    for shape, groups in ODD:
        check(evonorm, make_inputs(shape, groups, dtype, layout=LAYOUTS[layout], device=device))


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
def test_a_mean_far_above_the_deviation(layout, device):
    need_kernels(device)
    args = make_inputs(
        (2, 8, 40, 41), 2, torch.float32, layout=LAYOUTS[layout], mean=100.0, device=device
    ).args()
    doubles = [t.double() if isinstance(t, torch.Tensor) else t for t in args]
    want = equation(*doubles)
    # A unit in the last place of x moves the deviation of its group by no more than 1e-5.
    assert (ops.evonorm_s0(*args) - want).abs().max() / want.abs().max() < 1e-5


def test_far_from_0_the_sigmoid_is_0_or_1(evonorm, device):
    # exp(-x) leaves the range of fp32 at -88.7; in between its result is subnormal.
    x = torch.cat([torch.linspace(-90, -87, 63), torch.tensor([0.0, 200])])
    x = x.view(1, 1, 5, 13).to(device).requires_grad_()
    one = torch.ones(1, device=device)
    v = one.clone().requires_grad_()
    z = evonorm(x, 1, one, 0 * one, v)
    torch.testing.assert_close(z, x.relu() / (x.var(unbiased=False) + 1e-5).sqrt())
    for grad in torch.autograd.grad(z.sum(), [x, v]):
        assert grad.isfinite().all()


def test_nan_goes_through(evonorm, device):
    inputs = make_inputs((2, 4, 6, 7), 2, torch.float32, device=device)
    inputs.v[3] = torch.nan
    inputs.x[0, 0, 2, 3] = torch.nan
    z = evonorm(*inputs.args())
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
