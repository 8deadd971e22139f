"""What benchmarks.costs says of a norm: kept tensors, and time against BN+ReLU."""

import math
import re

import pytest
import torch

from benchmarks import costs
from benchmarks.rows import FORWARD, TRAINING, Row, to_csv
from mmdet_frn.layers import CBN, SPADE, AdaLN, FiLM, QKNormAttention
from mmdet_frn.norms import NORMS


def row(label):
    return next(r for r in NORMS if r.label == label)


def test_a_tensor_counts_once_however_often_it_is_kept(monkeypatch):
    def forward(self, x):
        y = x.sin()  # keeps x
        return (y * y).exp()  # keeps y twice, and its own result

    monkeypatch.setattr(costs.NormAct, 'forward', forward)
    assert costs.kept_maps(row('BN')) == 3


def test_the_page_says_what_conditional_layers_keep():
    x, code, mask = torch.randn(2, 64, 32, 32), torch.randn(2, 64), torch.rand(2, 1, 16, 16)
    layers = {kind: (kind(64, 64), code) for kind in (FiLM, CBN, AdaLN)}
    layers[SPADE] = (SPADE(64, 1), mask)
    layers[QKNormAttention] = (QKNormAttention(64),)
    text = (costs.RESULTS.parent / 'norms.md').read_text(encoding='utf-8')
    section = text.split('## Conditional forms')[1]
    for kind, (layer, *condition) in layers.items():
        (line,) = re.findall(rf'^\| `{kind.__name__}` \|.*$', section, re.MULTILINE)
        kept = costs.kept_by(lambda v: layer(v, *condition), x.requires_grad_())  # noqa: B023
        assert f'| {kept:.1f} |' in line


def test_time_is_the_geometric_mean_over_the_maps_that_both_have(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, 'RESULTS', tmp_path)
    times = {
        ('BN+ReLU', 'a'): 10.0,
        ('BN+ReLU', 'b'): 10.0,
        ('GN+ReLU', 'a'): 20.0,
        ('GN+ReLU', 'b'): 5.0,
        ('GN+ReLU', 'c'): 1e6,
    }

    def rows(times):
        return [
            Row('x', '2', 2, where, 1, '', dtype, 'NCHW', mode, name, 1.0, time * factor)
            for (name, where), time in times.items()
            for dtype, mode, factor in (
                ('fp32', TRAINING, 1),
                ('fp32', FORWARD, 3 if name == 'GN+ReLU' else 1),
                ('bf16', TRAINING, 3 if name == 'GN+ReLU' else 1),
            )
        ]

    (tmp_path / 'ops').mkdir()
    (tmp_path / 'ops' / 'ops-x.csv').write_text(to_csv(rows(times)), encoding='utf-8')
    assert costs.times_batch_norm(row('GN')) == pytest.approx(1.0)
    assert math.isclose(costs.times_batch_norm(row('BN')), 1.0)
    assert costs.times_batch_norm(row('FRN')) is None
    # A report over the whole table comes first.
    times['GN+ReLU', 'b'] = 20.0
    (tmp_path / 'norms').mkdir()
    (tmp_path / 'norms' / 'ops-x.csv').write_text(to_csv(rows(times)), encoding='utf-8')
    assert costs.times_batch_norm(row('GN')) == pytest.approx(2.0)
