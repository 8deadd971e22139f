"""FRN + TLU under torch.compile, torch.export and autocast."""

import pytest
import torch
from frn_equations import LAYOUTS, make_inputs

from mmdet_frn import ops


class Layer(torch.nn.Module):
    """A convolution, FRN with a learnable eps, a residual and TLU."""

    def __init__(self, channels=6):
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, channels, 1)
        self.weight = torch.nn.Parameter(torch.rand(channels))
        self.bias = torch.nn.Parameter(torch.rand(channels))
        self.tau = torch.nn.Parameter(torch.rand(channels))
        self.eps = torch.nn.Parameter(torch.tensor([1e-4]))

    def forward(self, x):
        y = ops.frn_tlu(self.conv(x), self.weight, self.bias, self.tau, self.eps, x)
        return ops.frn(y, self.weight, self.bias)


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last'])
@pytest.mark.parametrize('dynamic', [False, True], ids=['static', 'dynamic'])
def test_compile_without_graph_break(fused, device, dynamic, layout):
    layer = Layer().to(device)
    compiled = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend='aot_eager')
    for shape in [(2, 6, 8, 8), (3, 6, 5, 7)] if dynamic else [(2, 6, 8, 8)]:
        x = LAYOUTS[layout](torch.randn(shape, device=device)).requires_grad_()
        dz = torch.randn(shape, device=device)
        outputs = [
            (z, *torch.autograd.grad(z, (x, *layer.parameters()), dz))
            for z in (layer(x), compiled(x))
        ]
        for eager, traced in zip(*outputs, strict=True):
            torch.testing.assert_close(traced, eager)


def test_dynamic_shapes_compile_once(fused, device):
    layer = Layer().to(device)
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


def test_export(fused, device):
    layer = Layer().to(device)
    size = torch.export.Dim('size', min=2, max=64)
    program = torch.export.export(
        layer, (torch.randn(2, 6, 8, 8, device=device),), dynamic_shapes={'x': {2: size}}
    )
    x = torch.randn(2, 6, 11, 8, device=device)
    torch.testing.assert_close(program.module()(x), layer(x))
    assert any('mmdet_frn' in str(node.target) for node in program.graph.nodes)


class FourForms(torch.nn.Module):
    """Every form of a call: eps a number and a tensor, with and without residual, TLU alone."""

    def __init__(self, channels=6):
        super().__init__()
        self.param = torch.nn.Parameter(torch.rand(channels))
        self.eps = torch.nn.Parameter(torch.tensor([1e-4]))

    def forward(self, x):
        y = ops.frn(x, self.param, self.param)
        y = ops.frn_tlu(y, self.param, self.param, self.param, self.eps, x)
        y = ops.frn_tlu(y, self.param, self.param, self.param)
        return ops.tlu(y, self.param)


TRANSFORMS = {
    'script': torch.jit.script,
    'trace': lambda layer: torch.jit.trace(layer, torch.randn(1, 6, 4, 4)),
    'fx': torch.fx.symbolic_trace,
}


@pytest.mark.parametrize('transform', TRANSFORMS)
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_script_trace_and_fx(fused, transform):
    layer = FourForms()
    transformed = TRANSFORMS[transform](layer)
    for x in (torch.randn(2, 6, 8, 8), torch.randn(3, 6, 5, 7)):
        torch.testing.assert_close(transformed(x), layer(x), rtol=0, atol=0)
    if transform != 'fx':  # which keeps the functions, and with them the choice of the device
        assert 'mmdet_frn::frn' in str(transformed.inlined_graph)


def test_script_without_the_library():
    eps = torch.tensor([1e-2])
    x, param = torch.randn(2, 6, 5, 7), torch.rand(6)
    for args in ((eps, None), (1e-2, x)):
        scripted = torch.jit.script(ops.reference.frn_tlu)(x, param, param, param, *args)
        torch.testing.assert_close(scripted, ops.reference.frn_tlu(x, param, param, param, *args))


def test_meta_tensors(fused):
    inputs = make_inputs((2, 6, 8, 8), torch.float32, torch.device('cpu'), LAYOUTS['channels_last'])
    x, weight, bias, tau, eps, _ = (
        t.to('meta') if isinstance(t, torch.Tensor) else t for t in inputs.args()
    )
    z = ops.frn_tlu(x, weight, bias, tau, eps)
    assert z.is_meta
    assert z.stride() == inputs.x.stride()


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
