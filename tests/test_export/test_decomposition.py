"""The decompositions of the compiled ops: values, and the strides that tracing relies on."""

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd

from mmdet_frn.export.decomposition import (
    evonorm_s0_forward,
    frn_forward,
    group_norm_forward,
    pointwise,
)
from mmdet_frn.layers import FRN
from mmdet_frn.ops import is_compiled

LAYOUTS = {
    'contiguous': lambda x: x,
    'channels_last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'transposed': lambda x: x.transpose(2, 3),
    'batch_second': lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    'expanded': lambda x: x[:, :, :1].expand_as(x),
    'cropped': lambda x: x[:, :, 1:-1, 1:-1],
}

pytestmark = pytest.mark.skipif(not is_compiled(), reason='compares with the compiled op')


@pytest.fixture(params=LAYOUTS)
def x(request):
    torch.manual_seed(0)
    return LAYOUTS[request.param](torch.randn(3, 5, 8, 6))


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize('eps', ['number', 'one', 'channels'])
def test_values_and_strides_are_the_ops(x, eps, dtype):
    x = x.to(dtype)
    weight, bias, tau = torch.randn(3, 5)
    eps = {'number': None, 'one': torch.tensor([-0.1]), 'channels': torch.rand(5)}[eps]
    for threshold, residual in [(None, None), (tau, None), (tau, torch.rand_like(x))]:
        args = (x, weight, bias, eps, -1e-3, threshold, residual)
        got, expected = frn_forward(*args), torch.ops.mmdet_frn.frn_forward(*args)
        torch.testing.assert_close(got, expected, check_stride=True)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize('centered', [True, False])
@pytest.mark.parametrize('x', ['contiguous', 'channels_last', 'cropped'], indirect=True)
def test_values_and_strides_of_group_norm_are_the_ops(x, centered, dtype):
    x = x.to(dtype)
    weight, bias, tau = torch.randn(3, 5)
    for threshold, relu, residual in [(None, False, None), (tau, False, x), (None, True, x)]:
        args = (x, weight, bias, 1, 1e-3, centered, threshold, relu, residual)
        got, expected = group_norm_forward(*args), torch.ops.mmdet_frn.group_norm_forward(*args)
        torch.testing.assert_close(got, expected, check_stride=True)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize('x', ['contiguous', 'channels_last', 'cropped'], indirect=True)
def test_values_and_strides_of_evonorm_and_pointwise_are_the_ops(x, dtype):
    x = x.to(dtype)
    weight, bias, v = torch.randn(3, 5)
    for slope in (v, None):
        args = (x, weight, bias, 1, 1e-3, slope)
        got, expected = evonorm_s0_forward(*args), torch.ops.mmdet_frn.evonorm_s0_forward(*args)
        torch.testing.assert_close(got, expected, check_stride=True)
    for function, params in (('tlu', [v]), ('affine_tlu', [v, bias]), ('dyt', [weight, bias, v])):
        args = (x, params, function)
        got, expected = pointwise(*args), torch.ops.mmdet_frn.pointwise(*args)
        torch.testing.assert_close(got, expected, check_stride=True)


@pytest.mark.parametrize('x', ['contiguous', 'channels_last', 'transposed'], indirect=True)
def test_dynamic_sizes_compile_with_the_fused_op(x):
    torch._dynamo.reset()
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    backend = aot_autograd(fw_compiler=keep)
    layer = FRN(5)
    compiled = torch.compile(layer, dynamic=True, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(x), layer(x), check_stride=True)
    assert any('mmdet_frn.frn_forward' in str(node.target) for node in graphs[0].graph.nodes)
    torch._dynamo.reset()
