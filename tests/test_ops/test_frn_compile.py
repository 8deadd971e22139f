"""FRN + TLU under torch.compile, TorchScript, autocast and inference mode."""

import pytest
import torch
import torch._dynamo.testing
from frn_equations import make_inputs
from op_calls import FRNLayer

from mmdet_frn import ops


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_dynamic_shapes_compile_once(fused, device):
    layer = FRNLayer().to(device)
    counter = torch._dynamo.testing.CompileCounterWithBackend('aot_eager')
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend=counter)
    for size in (8, 9, 13):
        compiled(torch.randn(2, 6, size, size + 3, device=device)).sum().backward()
    assert counter.frame_count == 1


@pytest.mark.slow
def test_inductor(fused, device):
    inputs = make_inputs((2, 6, 8, 8), torch.float32, device, residual=True, eps='one')
    tensors = list(inputs.requires_grad_().tensors().values())
    outputs = [
        (z, *torch.autograd.grad(z, tensors, inputs.dz))
        for z in (
            ops.frn_tlu(*inputs.args()),
            torch.compile(ops.frn_tlu, fullgraph=True)(*inputs.args()),
        )
    ]
    for eager, compiled in zip(*outputs, strict=True):
        torch.testing.assert_close(compiled, eager)


def test_script_without_the_library():
    eps = torch.tensor([1e-2])
    x, param = torch.randn(2, 6, 5, 7), torch.rand(6)
    for args in ((eps, None), (1e-2, x)):
        scripted = torch.jit.script(ops.reference.frn_tlu)(x, param, param, param, *args)
        torch.testing.assert_close(scripted, ops.reference.frn_tlu(x, param, param, param, *args))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_autocast_is_half_in_half_out(frn_tlu, device, dtype):
    inputs = make_inputs((2, 5, 7, 7), dtype, device).requires_grad_()
    with torch.autocast(device.type, dtype):
        z = frn_tlu(*inputs.args())
    assert z.dtype == dtype
    assert torch.equal(z, frn_tlu(*inputs.args()))
    z.backward(inputs.dz)
    assert inputs.x.grad.dtype == dtype
    assert inputs.weight.grad.dtype == inputs.tau.grad.dtype == torch.float32


def test_autocast_leaves_fp32_input_alone(frn_tlu, device):
    inputs = make_inputs((2, 5, 7, 7), torch.float32, device)
    with torch.autocast(device.type, torch.bfloat16):
        assert frn_tlu(*inputs.args()).dtype == torch.float32


def test_inference_mode(frn_tlu, device):
    inputs = make_inputs((2, 5, 7, 7), torch.float32, device)
    with torch.inference_mode():
        z = frn_tlu(*inputs.args())
    assert torch.equal(z, frn_tlu(*inputs.args()))
