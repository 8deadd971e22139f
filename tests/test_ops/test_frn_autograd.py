"""FRN + TLU under autograd: gradcheck to second order, opcheck, and what is kept for backward."""

import pytest
import torch
from frn_equations import LAYOUTS, make_inputs
from torch.autograd import gradcheck, gradgradcheck

from benchmarks.memory import peak_bytes
from mmdet_frn import ops

CASES = [
    ((2, 3, 4, 3), 'contiguous', False, 'number'),
    ((2, 3, 4, 3), 'contiguous', True, 'channel'),
    ((2, 3, 4, 3), 'channels_last', True, 'one'),
    ((3, 4), 'contiguous', True, 'channel'),
]


def double_inputs(device, shape, layout, residual, eps):
    inputs = make_inputs(shape, torch.float64, device, LAYOUTS[layout], residual, eps)
    if isinstance(inputs.eps, torch.Tensor):
        inputs.eps += inputs.eps.sign() * 0.1  # away from the kink of |eps|
    return inputs.requires_grad_()


@pytest.mark.parametrize('case', CASES, ids=str)
def test_gradcheck(frn_tlu, device, case):
    args = double_inputs(device, *case).args()
    assert gradcheck(frn_tlu, args, eps=1e-7, atol=1e-6, nondet_tol=0)


@pytest.mark.parametrize('case', CASES, ids=str)
def test_gradgradcheck(frn_tlu, device, case):
    args = double_inputs(device, *case).args()
    assert gradgradcheck(frn_tlu, args, eps=1e-7, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_gradient_to_differentiate_is_the_fused_one(fused, device, dtype):
    inputs = make_inputs((2, 5, 6, 7), dtype, device, residual=True, eps='one').requires_grad_()
    tensors = list(inputs.tensors().values())
    grads = [
        torch.autograd.grad(ops.frn_tlu(*inputs.args()), tensors, inputs.dz, create_graph=create)
        for create in (False, True)
    ]
    rtol = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 2e-2}[dtype]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)


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


@pytest.mark.parametrize('wanted', ['x', 'weight', 'bias', 'tau', 'eps', 'residual'])
def test_only_what_requires_grad(fused, device, wanted):
    inputs = make_inputs((2, 5, 6, 7), torch.float32, device, residual=True, eps='one')
    full = make_inputs((2, 5, 6, 7), torch.float32, device, residual=True, eps='one')
    for name, tensor in inputs.tensors().items():
        setattr(full, name, tensor.clone())
    full.requires_grad_()
    ops.frn_tlu(*full.args()).backward(inputs.dz)
    inputs.tensors()[wanted].requires_grad_()
    ops.frn_tlu(*inputs.args()).backward(inputs.dz)
    for name, tensor in inputs.tensors().items():
        if name == wanted:
            assert torch.equal(tensor.grad, full.tensors()[name].grad)
        else:
            assert tensor.grad is None


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
def test_keeps_nothing_of_the_size_of_x(fused, device, dtype, layout):
    inputs = make_inputs((2, 6, 8, 8), dtype, device, LAYOUTS[layout], True).requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        ops.frn_tlu(*inputs.args())
    own = {inputs.x.data_ptr(), inputs.residual.data_ptr()}
    large = [t for t in saved if t.numel() > 2 * 6]
    assert {t.data_ptr() for t in large} == own
    assert len(large) == 2


@pytest.mark.parametrize('case', CASES, ids=str)
def test_opcheck(fused, device, case):
    inputs = double_inputs(device, *case)
    x, weight, bias, tau, eps, residual = inputs.args()
    eps, value = (eps, 0.0) if isinstance(eps, torch.Tensor) else (None, eps)
    torch.library.opcheck(fused, (x, weight, bias, eps, value, tau, residual))
    args = [t if t is None else t.detach() for t in (x, weight, bias, eps, tau, residual)]
    x, weight, bias, eps, tau, residual = args
    forward = torch.ops.mmdet_frn.frn_forward.default
    torch.library.opcheck(forward, (x, weight, bias, eps, value, tau, residual))
    _, rstd = forward(x, weight, bias, eps, value, tau, residual)
    backward = torch.ops.mmdet_frn.frn_backward.default
    mask = [True, True, True, eps is not None, True, residual is not None]
    full = (inputs.dz, x, rstd, weight, bias, eps, value, tau, residual, mask)
    torch.library.opcheck(backward, full, test_utils=('test_schema', 'test_faketensor'))


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
