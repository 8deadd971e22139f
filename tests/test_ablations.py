"""The ablation configs: the rows of Tables 3 and 5 by name, and a training step of each."""

import copy
import functools
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_frn.norms import CONVS, NORMS, norm_label

FOLDER = Path(__file__).resolve().parents[1] / 'configs' / 'ablations'
CONFIGS = sorted(FOLDER.glob('*.py'))


@functools.cache
def load(path):
    return Config.fromfile(path)


def named(name):
    return load(FOLDER / f'retinanet_r18-w32_fpn_{name}_1xb2-1k_shapes-128.py')


def test_tables_3_and_5_are_there_row_by_row():
    table_3 = {
        f'{norm.lower()}-{act.lower()}': (norm, act)
        for norm in ('BN', 'GN', 'GFRN', 'LN', 'LFRN', 'IN', 'FRN')
        for act in ('ReLU', 'TLU')
    }
    table_5 = {'frn-prelu': ('FRN', 'ChannelPReLU'), 'frn-affine-tlu': ('FRN', 'AffineTLU')}
    for name, (norm, act) in {**table_3, **table_5}.items():
        default = next(row.act_cfg['type'] for row in NORMS if row.label == norm)
        assert norm_label(named(name)) == (norm if act == default else f'{norm}+{act}')


def test_every_norm_of_the_table_has_a_config():
    labels = {norm_label(load(path)) for path in CONFIGS}
    assert len(labels) == len(CONFIGS)
    # A row may need its own convolution.
    rows = {label.removesuffix('+CenteredConv') for label in labels}
    others = {'GN+ConvWS', 'FRN+ConvWS', 'NoNorm+SkipInit', 'NF-ResNet', 'NF-ResNet+AGC'}
    assert {row.label for row in NORMS} <= rows
    assert {*others, 'BN+PreciseBN'} <= labels
    convs = [(load(path).model.backbone.get('conv_cfg') or {}).get('type') for path in CONFIGS]
    assert {row.label for row in CONVS} <= set(convs)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem.split('_')[3])
def test_a_config_builds_and_every_parameter_takes_a_step(path):
    register_all_modules()
    assert len(path.read_text(encoding='utf-8').splitlines()) <= 5
    cfg = copy.deepcopy(load(path))
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    data = demo_mm_inputs(2, [(3, 32, 32)] * 2, num_items=[2, 2], num_classes=4)
    data = model.data_preprocessor(data, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    optimizer.step()
    model.eval()
    with torch.no_grad():
        assert len(model(**data, mode='predict')) == 2
