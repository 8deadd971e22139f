"""The configs with a conditional norm or attention in the neck, and what the neck hands it."""

import copy
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from mmdet_frn.models import ConditionNeck

CONFIGS = sorted((Path(__file__).resolve().parents[2] / 'configs' / 'conditional').glob('*.py'))
C = 8


def test_each_form_has_a_config():
    layers = {Config.fromfile(path).model.neck[1].layer.type for path in CONFIGS}
    assert layers == {'FiLM', 'CBN', 'AdaLN', 'SPADE', 'QKNormAttention'}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem.split('_')[2])
def test_a_config_builds_and_every_parameter_takes_a_step(path):
    register_all_modules()
    assert len(path.read_text(encoding='utf-8').splitlines()) <= 5
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(Config.fromfile(path).model)).train()
    model.init_weights()
    data = demo_mm_inputs(2, [(3, 32, 32)] * 2, num_items=[2, 2], num_classes=4)
    data = model.data_preprocessor(data, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    with torch.no_grad():
        assert len(model.eval()(**data, mode='predict')) == 2


@pytest.mark.parametrize('kind', ['FiLM', 'CBN', 'AdaLN', 'SPADE'])
def test_every_level_depends_on_the_coarsest_of_its_own_image_alone(kind):
    torch.manual_seed(0)
    neck = ConditionNeck(C, 3, {'type': kind}, condition_features=4).double().eval()
    for p in neck.parameters():
        nn.init.normal_(p)
    feats = [torch.randn(2, C, size, size).double() for size in (8, 4, 2)]
    before = neck(tuple(feats))
    feats[-1] = feats[-1].clone()
    feats[-1][1] += torch.randn(C, 1, 1)
    for old, new in zip(before, neck(tuple(feats)), strict=True):
        assert torch.equal(old[0], new[0])
        assert not torch.allclose(old[1], new[1])


def test_levels_without_a_layer_pass_through():
    neck = ConditionNeck(C, 3, {'type': 'QKNormAttention'}, levels=[-1])
    nn.init.ones_(neck.layers['2'].proj.weight)
    feats = tuple(torch.randn(2, C, size, size) for size in (8, 4, 2))
    outs = neck(feats)
    assert [out is feat for out, feat in zip(outs, feats, strict=True)] == [True, True, False]
    assert not torch.allclose(outs[2], feats[2])
    with pytest.raises(ValueError, match='num_levels is 3, but got 2 levels'):
        neck(feats[:2])
