"""Every norm and activation of the table in one model: torch.export and both ONNX exporters."""

import warnings

import pytest
import torch
from mmcv.cnn import build_norm_layer
from torch import nn

from mmdet_frn.layers import build_act, norm_act
from mmdet_frn.norms import ACTS, NORMS

CHANNELS = 32
SIZES = {0: 'batch', 2: 'height', 3: 'width'}


class Pair(nn.Module):
    def __init__(self, norm_cfg, act_cfg):
        super().__init__()
        self.norm = build_norm_layer(norm_cfg, CHANNELS)[1]
        self.act = build_act(act_cfg, CHANNELS, self.norm)

    def forward(self, x):
        return norm_act(x, self.norm, self.act)


class Every(nn.Module):
    """All rows on one input: one export for all of them."""

    def __init__(self):
        super().__init__()
        pairs = {row.label: Pair(row.norm_cfg, row.act_cfg) for row in NORMS}
        pairs |= {act.label: Pair({'type': 'GN', 'num_groups': 8}, act.act_cfg) for act in ACTS}
        self.labels = list(pairs)
        self.pairs = nn.ModuleList(pairs.values())

    def forward(self, x):
        return tuple(pair(x.clone()) for pair in self.pairs)


def sample(*shape):
    return 2 * torch.randn(shape) + 0.5


@pytest.fixture(scope='module')
def model():
    """Random parameters, and the statistics of two steps where a norm keeps any."""
    torch.manual_seed(0)
    model = Every()
    for p in model.parameters():
        nn.init.normal_(p, mean=p.detach().mean().item(), std=0.2)
    with torch.no_grad():
        for _ in range(2):
            model.train()(sample(2, CHANNELS, 6, 5))
    return model.eval()


@pytest.fixture(scope='module')
def program(model):
    if torch.__version__ < '2.6':
        pytest.skip('PyTorch 2.5 exports each norm with dynamic sizes, but not all in one model')
    dynamic = {axis: torch.export.Dim(name) for axis, name in SIZES.items()}
    return torch.export.export(model, (sample(2, CHANNELS, 6, 5),), dynamic_shapes=(dynamic,))


def check(outputs, model, x):
    with torch.no_grad():
        expected = model(x)
    for label, got, want in zip(model.labels, outputs, expected, strict=True):
        torch.testing.assert_close(
            got, want, rtol=1e-4, atol=1e-4, msg=lambda text, label=label: f'{label}: {text}'
        )


def test_torch_export_with_a_dynamic_batch_and_sizes(model, program):
    x = sample(3, CHANNELS, 4, 7)
    check(program.module()(x), model, x)


@pytest.mark.parametrize('exporter', ['dynamo', 'torchscript'])
def test_onnx_with_a_dynamic_batch_and_sizes(model, request, exporter, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    path = tmp_path / 'x.onnx'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the TorchScript exporter calls itself deprecated
        if exporter == 'dynamo':
            program = request.getfixturevalue('program')
            torch.onnx.export(program, (), path, dynamo=True, verbose=False)
        else:
            x = sample(2, CHANNELS, 6, 5)
            torch.onnx.export(
                model, (x,), path, dynamo=False, input_names=['x'], dynamic_axes={'x': SIZES}
            )
    session = onnxruntime.InferenceSession(
        path,
        providers=['CPUExecutionProvider'],
        # It counts the padding of LRN's average out of the mean: see docs/deployment.md.
        disabled_optimizers=['Pad_Fusion'],
    )
    x = sample(3, CHANNELS, 4, 7)
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    check(map(torch.from_numpy, found), model, x)
