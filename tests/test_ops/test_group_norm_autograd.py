"""Norms over groups under autograd, torch.compile and export; what is kept for backward."""

import pytest
import torch
from frn_equations import LAYOUTS
from group_equations import make_inputs
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from mmdet_frn import ops

pytestmark = pytest.mark.skipif(
    not ops.library.runs_fused_group_norm(torch.device('cpu')),
    reason='compiled library absent, or older than this op',
)
CASES = [
    ((2, 4, 3, 3), 2, True, 'tlu', False, 'contiguous'),
    ((2, 4, 3, 3), 1, True, 'relu', True, 'channels_last'),
    ((2, 4, 3, 3), 2, False, 'tlu', True, 'channels_last'),
    ((3, 4), 2, False, None, False, 'contiguous'),
]


def double_inputs(shape, groups, centered, act, residual, layout):
    inputs = make_inputs(shape, groups, torch.float64, centered, act, residual, LAYOUTS[layout])
    return inputs.requires_grad_()


@pytest.mark.parametrize('case', CASES, ids=str)
def test_gradcheck_to_second_order(case):
    args = double_inputs(*case).args()
    assert gradcheck(ops.group_norm, args, eps=1e-7, atol=1e-6, nondet_tol=0)
    assert gradgradcheck(ops.group_norm, args, eps=1e-7, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize('case', CASES, ids=str)
def test_gradient_to_differentiate_is_the_fused_one(case):
    inputs = double_inputs(*case)
    tensors = list(inputs.tensors().values())
    grads = [
        torch.autograd.grad(ops.group_norm(*inputs.args()), tensors, inputs.dz, create_graph=create)
        for create in (False, True)
    ]
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('case', CASES[1:3], ids=str)
def test_opcheck(case):
    x, groups, weight, bias, eps, centered, tau, relu, residual = double_inputs(*case).args()
    args = [x, weight, bias, groups, eps, centered, tau, relu, residual]
    checks = ('test_schema', 'test_autograd_registration', 'test_faketensor')
    torch.library.opcheck(torch.ops.mmdet_frn.group_norm.default, args, test_utils=checks)
    args = [t.detach() if isinstance(t, torch.Tensor) else t for t in args]
    forward = torch.ops.mmdet_frn.group_norm_forward.default
    torch.library.opcheck(forward, args, test_utils=checks)
    z, stats = forward(*args)
    backward = torch.ops.mmdet_frn.group_norm_backward.default
    mask = [True, True, True, tau is not None, residual is not None]
    full = (torch.randn_like(z), args[0], stats, *args[1:], mask)
    torch.library.opcheck(backward, full, test_utils=('test_schema', 'test_faketensor'))


@pytest.mark.parametrize('wanted', ['x', 'weight', 'bias', 'tau', 'residual'])
def test_only_what_requires_grad(wanted):
    inputs = make_inputs((2, 6, 6, 7), 3, torch.float32, residual=True)
    tensors = inputs.tensors()
    inputs.requires_grad_()
    grads = torch.autograd.grad(ops.group_norm(*inputs.args()), list(tensors.values()), inputs.dz)
    for name, tensor in tensors.items():
        tensor.requires_grad_(name == wanted)
    (alone,) = torch.autograd.grad(ops.group_norm(*inputs.args()), tensors[wanted], inputs.dz)
    assert torch.equal(alone, dict(zip(tensors, grads, strict=True))[wanted])


def test_keeps_nothing_of_the_size_of_x():
    inputs = make_inputs((2, 6, 8, 8), 2, torch.float32, residual=True).requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        ops.group_norm(*inputs.args())
    large = [t.data_ptr() for t in saved if t.numel() > 2 * 6]
    assert sorted(large) == sorted([inputs.x.data_ptr(), inputs.residual.data_ptr()])


@pytest.mark.parametrize('centered', [True, False])
def test_torch_func_runs_on_the_reference(centered):
    x, *params = torch.randn(2, 6, 4, 5), torch.rand(6), torch.rand(6), torch.rand(6)

    def loss(x, op):
        weight, bias, tau = params
        return op(x, 3, weight, bias, 1e-5, centered, tau).square().sum()

    got = torch.func.grad(loss)(x, ops.group_norm)
    torch.testing.assert_close(got, torch.func.grad(loss)(x, ops.reference.group_norm))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias, self.tau = (nn.Parameter(torch.rand(6)) for _ in range(3))

    def forward(self, x):
        affine = self.weight, self.bias
        y = ops.group_norm(x, 3, *affine, tau=self.tau, residual=x)
        y = ops.group_norm(y, 2, *affine, centered=False, tau=self.tau)
        return ops.group_norm(y, 1, *affine, relu=True)


def test_compile_without_graph_break():
    torch._dynamo.reset()
    layer = Layer()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend='aot_eager')
    for shape, layout in [((2, 6, 8, 8), 'contiguous'), ((3, 6, 5, 7), 'channels_last')]:
        x = LAYOUTS[layout](torch.randn(shape)).requires_grad_()
        dz = torch.randn(shape)
        eager, traced = (
            (z, *torch.autograd.grad(z, (x, *layer.parameters()), dz))
            for z in (layer(x), compiled(x))
        )
        torch.testing.assert_close(traced, eager)
    torch._dynamo.reset()


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
