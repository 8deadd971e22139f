"""Backbone, neck and head under torch.compile: no graph break, the fused op, dynamic sizes."""

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from mmdet_frn.export.main import build_detector
from mmdet_frn.ops import is_compiled


class Network(nn.Module):
    """What a detector computes before decoding."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        scores, deltas = self.model.bbox_head(self.model.extract_feat(images))
        return *scores, *deltas


@pytest.fixture
def network(tiny_config):
    torch._dynamo.reset()
    torch.manual_seed(0)
    options = {
        'model.backbone.num_stages': 2,
        'model.backbone.strides': (1, 2),
        'model.backbone.dilations': (1, 1),
        'model.backbone.out_indices': (0, 1),
        'model.neck.in_channels': [8, 16],
        'model.bbox_head.anchor_generator.strides': [8, 16],
    }
    yield Network(build_detector(tiny_config(options=options), None))
    torch._dynamo.reset()


def test_no_graph_break_and_no_new_graph_for_another_size(network):
    counter = CompileCounterWithBackend('aot_eager')
    compiled = torch.compile(network, fullgraph=True, dynamic=True, backend=counter)
    counts = []
    for shape in [(4, 3, 64, 96), (5, 3, 128, 160)]:
        images = torch.randn(shape)
        for got, expected in zip(compiled(images), network(images), strict=True):
            torch.testing.assert_close(got, expected)
        counts.append(counter.frame_count)
    assert counts[0] == counts[1] > 0
    if is_compiled():
        targets = {str(node.target) for graph in counter.graphs for node in graph.graph.nodes}
        assert 'mmdet_frn.frn.default' in targets


def test_training_step_with_checkpointed_blocks(network):
    """``with_cp`` recomputes blocks in the backward pass, compiled or not."""
    for module in network.modules():
        if hasattr(module, 'with_cp'):
            module.with_cp = True
    network.train()
    images = torch.randn(2, 3, 64, 64)
    gradients = []
    for step in (network, torch.compile(network, fullgraph=True, backend='aot_eager')):
        network.zero_grad()
        sum(output.square().mean() for output in step(images)).backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, msg=name)


@pytest.mark.slow
def test_inductor(network):
    images = torch.randn(2, 3, 64, 64)
    compiled = torch.compile(network, fullgraph=True)
    with torch.no_grad():
        for got, expected in zip(compiled(images), network(images), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
