"""The fused ops through both ONNX exporters, computed by onnxruntime."""

import warnings
from collections import Counter

import pytest
import torch
from torch import nn

from mmdet_frn.layers import FRN, TLU
from mmdet_frn.ops import affine_tlu, dyt, evonorm_s0, frn, frn_tlu, group_norm, is_compiled, tlu
from mmdet_frn.ops.library import reference_only

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

CHANNELS = 5
# fp16 carries 11 bits; the widened arithmetic differs in the last one.
TOLERANCE = {torch.float32: (1e-5, 1e-5), torch.float16: (2e-3, 2e-3)}


class Variants(nn.Module):
    """Every form of the op, on one input."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias, self.tau = (nn.Parameter(torch.randn(CHANNELS)) for _ in range(3))
        self.eps_one = nn.Parameter(torch.tensor([-0.1]))
        self.eps_channels = nn.Parameter(torch.rand(CHANNELS))
        self.learned = FRN(CHANNELS, learnable_eps=True)
        self.learned_exp = FRN(CHANNELS, learnable_eps=True, eps_form='exp')
        self.prior = FRN(CHANNELS, prior=0.9)
        self.as_batch_norm = FRN(CHANNELS, prior=1.0)
        self.learned_prior = FRN(CHANNELS, prior=0.5, learnable_prior=True, learnable_eps=True)
        for layer in (self.prior, self.as_batch_norm, self.learned_prior):
            nn.init.uniform_(layer.prior.nu2, 1e3, 1e4)
        self.tlu = TLU(CHANNELS)

    def forward(self, x):
        affine = self.weight, self.bias
        return (
            frn(x, *affine),
            frn(x, *affine, -1e-3),
            frn_tlu(x, *affine, self.tau),
            frn_tlu(x, *affine, self.tau, 1e-3, x),
            frn_tlu(x, *affine, self.tau, self.eps_one),
            frn_tlu(x, *affine, self.tau, self.eps_channels, x),
            self.learned(x, self.tau),
            self.learned_exp(x),
            self.prior(x),
            self.as_batch_norm(x, self.tau, x),
            self.learned_prior(x, self.tau),
            self.tlu(x),
            group_norm(x, 1, *affine, tau=self.tau, residual=x),
            group_norm(x, 1, *affine, relu=True),
            group_norm(x, 1, *affine, centered=False, tau=self.tau),
            evonorm_s0(x / 100, 1, *affine, self.tau),
            evonorm_s0(x, 1, *affine),
            affine_tlu(x, *affine),
            dyt(x / 100, *affine, self.eps_one),
            # (N, C), (N, C, L) and (N, C, D, H, W)
            self.learned(x.mean((2, 3))),
            self.learned(x.flatten(2), self.tau),
            self.learned(x.unsqueeze(2), self.tau),
        )


def export(model, x, path, dynamo, opset=None):
    """Write the model with a dynamic batch and dynamic sizes."""
    dynamic = {0: 'batch', 2: 'height', 3: 'width'}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the TorchScript exporter calls itself deprecated
        if dynamo:
            torch.onnx.export(
                model, (x,), path, dynamo=True, dynamic_shapes=(dynamic,), opset_version=opset,
                verbose=False,
            )  # fmt: skip
        else:
            torch.onnx.export(
                model, (x,), path, dynamo=False, input_names=['x'], dynamic_axes={'x': dynamic},
                opset_version=opset,
            )  # fmt: skip
    return path


def run(path, x):
    """Compute the file's outputs in onnxruntime."""
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return [
        torch.from_numpy(y) for y in session.run(None, {session.get_inputs()[0].name: x.numpy()})
    ]


def operators(path):
    model = onnx.load(path)
    assert {node.domain for node in model.graph.node} == {''}
    return Counter(node.op_type for node in model.graph.node)


@pytest.fixture(params=[True, False], ids=['dynamo', 'torchscript'])
def dynamo(request):
    if request.param and torch.__version__ < '2.6':
        pytest.skip('the dynamo exporter of PyTorch before 2.6 does not write plain operators')
    return request.param


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
def test_every_form_gives_the_same_in_onnxruntime(tmp_path, dynamo, dtype):
    torch.manual_seed(0)
    model = Variants().eval().to(dtype)
    # Squared in fp16 these would overflow: beyond 255.9.
    x = 100 * torch.randn(2, CHANNELS, 6, 7)
    path = export(model, x.to(dtype), tmp_path / 'x.onnx', dynamo)
    for shape in [(2, CHANNELS, 6, 7), (3, CHANNELS, 9, 4), (1, CHANNELS, 1, 1)]:
        x = (100 * torch.randn(shape)).to(dtype)
        rtol, atol = TOLERANCE[dtype]
        for got, expected in zip(run(path, x), model(x), strict=True):
            assert got.dtype == dtype
            torch.testing.assert_close(got, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize('opset', [11, 13, 17, 18, 20])
def test_torchscript_opsets(tmp_path, opset):
    torch.manual_seed(0)
    model = Variants().eval()
    path = export(model, torch.randn(2, CHANNELS, 6, 7), tmp_path / 'x.onnx', False, opset)
    x = torch.randn(3, CHANNELS, 9, 4)
    torch.testing.assert_close(run(path, x), list(model(x)), rtol=1e-5, atol=1e-5)


class FrnTlu(nn.Module):
    def __init__(self):
        super().__init__()
        self.frn, self.tlu = FRN(CHANNELS), TLU(CHANNELS)
        for param in self.parameters():
            nn.init.normal_(param)

    def forward(self, x):
        return self.frn(x, self.tlu.tau)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
def test_frn_with_tlu_is_a_dozen_standard_operators(tmp_path, dynamo, dtype):
    if not is_compiled():
        pytest.skip('the reference ops are exported op by op')
    model = FrnTlu().to(dtype)
    x = torch.randn(2, CHANNELS, 6, 7, dtype=dtype)
    found = operators(export(model, x, tmp_path / 'x.onnx', dynamo))
    division = Counter({'Reciprocal': 1, 'Mul': 1} if dynamo else {'Div': 1})
    casts = Counter({'Cast': {torch.float32: 0, torch.float16: 2}[dtype]})  # x and the result
    assert found - Counter({'Constant': found['Constant']}) == (
        Counter({'Mul': 2, 'ReduceMean': 1, 'Add': 2, 'Sqrt': 1, 'Max': 1}) + division + casts
    )


@pytest.mark.parametrize('layer', [TLU(CHANNELS), FrnTlu()], ids=['tlu', 'frn_tlu'])
def test_tlu_is_max_on_the_reference_ops_too(tmp_path, dynamo, layer):
    with reference_only():
        path = export(layer, torch.randn(2, CHANNELS, 6, 7), tmp_path / 'x.onnx', dynamo)
    found = operators(path)
    assert found['Max'] == 1
    assert not {'Where', 'Less', 'IsNaN'} & set(found)


class Pointwise(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.randn(CHANNELS)) for _ in range(3))

    def forward(self, x):
        y = dyt(affine_tlu(x, self.a, self.b), self.a, self.b, self.c)
        return tlu(y, self.c)


class UnknownRank(nn.Module):
    """A scripted shape that the exporter cannot follow."""

    def __init__(self):
        super().__init__()
        self.param = nn.Parameter(torch.ones(CHANNELS))

    def forward(self, x):
        sizes: list[int] = []
        for i in range(x.dim()):
            sizes.append(x.shape[i])  # noqa: PERF401
        return frn_tlu(x.reshape(sizes), self.param, self.param, self.param)


def test_a_scripted_shape_that_is_unknown_is_named_with_the_remedy(tmp_path):
    if not is_compiled():
        pytest.skip('the reference is made of standard operators')
    x = torch.randn(2, CHANNELS, 6, 7)
    with pytest.raises(Exception, match='known dtype and rank; trace the model'):
        export(torch.jit.script(UnknownRank()), x, tmp_path / 'x.onnx', False)


def test_a_scripted_model_exports_by_the_torchscript_exporter(tmp_path):
    torch.manual_seed(0)
    model, x = Pointwise(), torch.randn(2, CHANNELS, 6, 7)
    path = export(torch.jit.script(model), x, tmp_path / 'x.onnx', False)
    torch.testing.assert_close(run(path, x), [model(x)], rtol=1e-5, atol=1e-5)
