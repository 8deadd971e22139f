"""Every fused op under autograd, torch.compile, torch.func, export, other batches and threads."""

from contextlib import nullcontext

import pytest
import torch
from frn_equations import LAYOUTS
from op_calls import CALLS, LAYERS, tensors
from torch.autograd import gradcheck, gradgradcheck

from mmdet_frn import ops

LAYOUT = ['contiguous', 'channels_last']


def need(kernel, device):
    name = kernel if kernel == 'pointwise' else f'{kernel}_forward'
    if not (ops.is_compiled() and hasattr(torch.ops.mmdet_frn, name)):
        pytest.skip('compiled library absent, or older than this op')
    key = device.type.upper()
    if not torch._C._dispatch_has_kernel_for_dispatch_key(f'mmdet_frn::{name}', key):
        pytest.skip(f'no {key} kernels of this op')


@pytest.fixture(params=CALLS)
def call(request, device):
    """A call of a fused op."""
    need(CALLS[request.param].kernel, device)
    return CALLS[request.param]


@pytest.fixture(params=LAYERS)
def layer(request, device):
    """A layer of 6 channels that calls one op in every form."""
    need(request.param, device)
    torch._dynamo.reset()
    yield LAYERS[request.param]().to(device)
    torch._dynamo.reset()


@pytest.fixture
def make_args(call, device):
    def make(*args):
        moved = (t.detach().to(device) if isinstance(t, torch.Tensor) else t
                 for t in call.args(*args))  # fmt: skip
        return [t.requires_grad_() if isinstance(t, torch.Tensor) else t for t in moved]

    return make


@pytest.mark.parametrize('library', [nullcontext, ops.library.reference_only])
@pytest.mark.parametrize('layout', LAYOUT)
def test_gradients_to_second_order(call, make_args, layout, library):
    for shape in [(2, 4, 3, 3), (3, 4)] if layout == 'contiguous' else [(2, 4, 3, 3)]:
        args = make_args(shape, torch.float64, layout)
        with library():
            assert gradcheck(call, args, eps=1e-7, atol=1e-6, nondet_tol=0)
            assert gradgradcheck(call, args, eps=1e-7, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_gradient_to_differentiate_is_the_fused_one(call, make_args, dtype):
    args = make_args((2, 4, 6, 7), dtype)
    z = call(*args)
    dz = torch.randn_like(z)
    fused, differentiable = (
        torch.autograd.grad(call(*args), tensors(args), dz, create_graph=create)
        for create in (False, True)
    )
    rtol = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(fused, differentiable, rtol=rtol, atol=rtol)


def test_a_gradient_is_the_same_where_it_is_the_only_one_wanted(call, make_args):
    args = make_args((2, 6, 6, 7), torch.float32)
    dz = torch.randn_like(args[0])
    grads = torch.autograd.grad(call(*args), tensors(args), dz)
    for wanted, grad in zip(tensors(args), grads, strict=True):
        for tensor in tensors(args):
            tensor.requires_grad_(tensor is wanted)
        (alone,) = torch.autograd.grad(call(*args), wanted, dz)
        assert torch.equal(alone, grad)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize('layout', LAYOUT)
def test_keeps_nothing_of_the_size_of_x_but_its_inputs(call, make_args, dtype, layout):
    args = make_args((2, 6, 8, 8), dtype, layout)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        call(*args)
    inputs, kept = (
        sorted(t.data_ptr() for t in each if t.numel() > 2 * 6) for each in (tensors(args), saved)
    )
    assert kept == inputs


@pytest.mark.parametrize('layout', LAYOUT)
@pytest.mark.parametrize('shape', [(2, 4, 3, 3), (3, 4)], ids=str)
def test_opcheck(call, make_args, shape, layout):
    args = call.schema(*make_args(shape, torch.float32, layout))
    checks = ('test_schema', 'test_autograd_registration', 'test_faketensor')
    if call.kernel == 'frn':
        checks = (*checks, 'test_aot_dispatch_dynamic')
    namespace = torch.ops.mmdet_frn
    torch.library.opcheck(getattr(namespace, call.kernel).default, args, test_utils=checks)
    with torch.no_grad():
        args = torch.utils._pytree.tree_map_only(torch.Tensor, torch.detach, args)
    saved, mask = [], []
    z = args[0]
    if call.kernel != 'pointwise':  # which keeps no statistics
        forward = getattr(namespace, f'{call.kernel}_forward').default
        torch.library.opcheck(forward, args, test_utils=checks)
        z, *saved = forward(*args)
        mask = [[t is not None for t in args if t is None or isinstance(t, torch.Tensor)]]
    full = (torch.randn_like(z), args[0], *saved, *args[1:], *mask)
    backward = getattr(namespace, f'{call.kernel}_backward').default
    torch.library.opcheck(backward, full, test_utils=('test_schema', 'test_faketensor'))


def test_no_images(call, make_args):
    args = make_args((0, 4, 6, 7), torch.float32)
    for library in (nullcontext, ops.library.reference_only):
        with library():
            z = call(*args)
            assert z.shape == (0, 4, 6, 7)
            assert not any(grad.any() for grad in torch.autograd.grad(z.sum(), tensors(args)))


# Rows of more than a block, of many blocks in few rows, and many channels.
@pytest.mark.parametrize('shape', [(5, 6, 70, 81), (2, 2, 200, 200), (2, 70, 24, 24)], ids=str)
@pytest.mark.parametrize('layout', LAYOUT)
def test_a_sample_is_bitwise_the_same_in_any_batch_and_with_any_threads(
    call, make_args, layout, shape
):
    args, before, results = make_args(shape, torch.float32, layout), torch.get_num_threads(), {}
    dz = torch.randn_like(args[0])
    try:
        for threads, count in ((1, shape[0]), (7, shape[0]), (1, 1), (before, 2)):
            torch.set_num_threads(threads)
            part = [
                LAYOUTS[layout](t[:count].detach()).requires_grad_()
                if isinstance(t, torch.Tensor) and t.shape == shape
                else t
                for t in args
            ]
            grads = torch.autograd.grad(z := call(*part), tensors(part), dz[:count])
            results[threads, count] = (z, *grads)
    finally:
        torch.set_num_threads(before)
    whole = results.pop((1, shape[0]))
    assert all(map(torch.equal, results[7, shape[0]], whole))
    per_sample = [i for i, t in enumerate(whole) if t.shape == shape]
    assert all(torch.equal(r[i][0], whole[i][0]) for r in results.values() for i in per_sample)


@pytest.mark.parametrize('dynamic', [False, True], ids=['static', 'dynamic'])
def test_compiles_without_a_graph_break(layer, device, dynamic):
    layer = torch.nn.Sequential(torch.nn.Conv2d(6, 6, 1), layer).to(device)
    compiled = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend='aot_eager')
    for shape, layout in [((2, 6, 8, 8), 'contiguous'), ((3, 6, 5, 7), 'channels_last')]:
        x = LAYOUTS[layout](torch.randn(shape, device=device)).requires_grad_()
        dz = torch.randn_like(x)
        eager, traced = (
            (z, *torch.autograd.grad(z, (x, *layer.parameters()), dz))
            for z in (layer(x), compiled(x))
        )
        torch.testing.assert_close(traced, eager)


def test_torch_func_runs_on_the_reference(layer, device):
    def loss(x):
        return layer(x).square().sum()

    x = torch.randn(2, 6, 4, 5, device=device)
    got = torch.func.grad(loss)(x)
    with ops.library.reference_only():
        torch.testing.assert_close(got, torch.func.grad(loss)(x))


def export(layer, x):
    size = torch.export.Dim('size', min=2, max=64)
    return torch.export.export(layer, (x,), dynamic_shapes={'x': {2: size}}).module()


CAPTURES = {
    'script': lambda layer, x: torch.jit.script(layer),
    'trace': torch.jit.trace,
    'fx': lambda layer, x: torch.fx.symbolic_trace(layer),
    'export': export,
}


@pytest.mark.parametrize('capture', CAPTURES)
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_every_way_to_capture_it(layer, device, capture):
    captured = CAPTURES[capture](layer, torch.randn(2, 6, 8, 8, device=device))
    for shape in [(2, 6, 8, 8), (2, 6, 11, 8)]:
        x = torch.randn(shape, device=device)
        torch.testing.assert_close(captured(x), layer(x), rtol=0, atol=0)
    if capture != 'fx':  # which keeps the functions, and with them the choice of the device
        graph = captured.graph if capture == 'export' else captured.inlined_graph
        assert 'mmdet_frn' in str(graph)


def test_meta_tensors_keep_the_layout(layer):
    x = torch.randn(2, 6, 8, 8).contiguous(memory_format=torch.channels_last)
    z = layer.to('meta')(x.to('meta'))
    assert z.is_meta
    assert z.stride() == x.stride()
