"""Conversion by config: what builds, what loads, what trains and resumes, and what is warned of."""

import warnings

import pytest
import torch
import torchvision
from conversion import randomize
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_checkpoint

from mmdet_frn.convert import MixedLayers, convert_cfg
from mmdet_frn.convert.batch_norms import is_batch_norm
from mmdet_frn.convert.config import build_detector
from mmdet_frn.convert.detector import example_forward
from mmdet_frn.layers import FRN, BatchNormConverted, prior_of

SIZE = (64, 64)


@pytest.fixture
def cfg(tiny_config, tiny_shapes, monkeypatch):
    monkeypatch.setenv('MMDET_FRN_DATA_ROOT', str(tiny_shapes.parent))
    cfg = tiny_config('bn', {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2})
    cfg.param_scheduler = []
    return cfg


@pytest.fixture
def bn(cfg, tmp_path):
    """A BN detector with statistics of its own, saved to bn.pth."""
    torch.manual_seed(0)
    model = randomize(build_detector(cfg)).eval()
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'bn.pth')
    return model


def outputs(model):
    with torch.no_grad():
        return [t for level in example_forward(model.eval(), SIZE) for t in level]


def test_converted_config_takes_a_bn_checkpoint_whole(cfg, bn, tmp_path):
    model = build_detector(convert_cfg(cfg, act_cfg={'type': 'TLU'}, kappa=float('inf')))
    assert not any(is_batch_norm(m) for m in model.modules())
    with pytest.warns(BatchNormConverted):
        load_checkpoint(model, str(tmp_path / 'bn.pth'), strict=True)
    torch.testing.assert_close(outputs(model), outputs(bn), rtol=1e-4, atol=1e-5)


def test_converted_weights_are_loaded_as_they_are(cfg, bn, tmp_path):
    converted = convert_cfg(cfg, kappa=3)
    first, second = build_detector(converted), build_detector(converted)
    with pytest.warns(BatchNormConverted):
        first.load_state_dict(bn.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter('error', BatchNormConverted)
        second.load_state_dict(first.state_dict())
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_config_survives_dumping(cfg, tmp_path):
    convert_cfg(cfg, act_cfg={'type': 'TLU'}, kappa=3).dump(tmp_path / 'converted.py')
    again = Config.fromfile(tmp_path / 'converted.py')
    assert (again.model.type, again.model.detector) == ('Converted', 'RetinaNet')
    assert any(isinstance(m, FRN) for m in build_detector(again).modules())


@pytest.mark.filterwarnings('ignore::mmdet_frn.layers.BatchNormConverted')
def test_training_starts_from_bn_weights_anneals_and_resumes(cfg, bn, tmp_path):
    cfg = convert_cfg(cfg, act_cfg={'type': 'TLU'}, kappa=9)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.load_from = str(tmp_path / 'bn.pth')
    cfg.train_cfg.max_iters = cfg.train_cfg.val_interval = 4
    cfg.default_hooks.checkpoint.interval = 2
    cfg.custom_hooks = [{'type': 'PriorAnnealingHook', 'start': 9, 'unit': 'kappa'}]
    cfg.randomness = {'seed': 0}
    cfg.experiment_name = 'whole'
    Runner.from_cfg(cfg).train()
    half = torch.load(tmp_path / 'work/iter_2.pth', weights_only=False)['state_dict']
    end = torch.load(tmp_path / 'work/iter_4.pth', weights_only=False)['state_dict']
    priors = [s['backbone.bn1.prior.value'].item() for s in (half, end)]
    # kappa is 9, 6, 3, 0 in the four steps; a checkpoint has the next step's.
    assert priors == pytest.approx([3 / 4, 0])
    assert not any('running' in key for key in end)

    cfg.load_from, cfg.resume = str(tmp_path / 'work/iter_2.pth'), True
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'resumed'), 'resumed'
    Runner.from_cfg(cfg).train()
    again = torch.load(tmp_path / 'resumed/iter_4.pth', weights_only=False)['state_dict']
    assert all(torch.equal(again[key], value) for key, value in end.items())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'detector': None}, "model.detector must be the detector's type"),
        ({'conversion': {'kapa': 1}}, 'conversion.kapa is unknown; use norm_cfg'),
        ({'conversion': {'kappa': -1}}, 'kappa must be >= 0'),
    ],
)
def test_wrong_settings_are_named(cfg, change, message):
    converted = convert_cfg(cfg)
    converted.model.update(change)
    with pytest.raises(ValueError, match=message):
        build_detector(converted)


def test_a_config_is_converted_once(cfg):
    with pytest.raises(ValueError, match='of a converted detector already'):
        convert_cfg(convert_cfg(cfg))


def retinanet(**parts):
    """MMDetection's RetinaNet with R50, narrow, and FRN by norm_cfg."""
    init_default_scope('mmdet')
    cfg = Config.fromfile('configs/_base_/models/retinanet_r18-w32_fpn.py').model
    cfg.backbone = {
        'type': 'ResNet', 'depth': 50, 'base_channels': 8, 'frozen_stages': 1,
        'norm_cfg': {'type': 'FRN'}, 'style': 'pytorch', **parts.pop('backbone', {}),
    }  # fmt: skip
    cfg.neck = {'type': 'FPN', 'in_channels': [32, 64, 128, 256], 'out_channels': 16, 'num_outs': 5}
    cfg.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1, type='RetinaHead')
    for key in ('norm_cfg', 'act_cfg'):
        cfg.bbox_head.pop(key, None)
    return {**cfg, **parts}


def test_relu_and_bn_beside_frn_are_warned_of_with_the_remedy():
    with pytest.warns(MixedLayers, match=r'FRN and \d+ ReLU \(backbone.relu, .*Converted') as seen:
        MODELS.build(retinanet())
    assert [warning.category for warning in seen].count(MixedLayers) == 1
    head = {**retinanet()['bbox_head'], 'norm_cfg': {'type': 'BN'}}
    with pytest.warns(MixedLayers, match=r'2 BN \(bbox_head.cls_convs.0.bn'):
        MODELS.build(retinanet(bbox_head=head))


def test_frn_that_does_not_train_beside_convolutions_that_do_is_warned_of():
    backbone = {'norm_cfg': {'type': 'FRN', 'requires_grad': False}}
    with pytest.warns(MixedLayers, match=r'42 of 53 FRN do not train .*_delete_=True'):
        MODELS.build(retinanet(backbone=backbone))


@pytest.mark.parametrize('name', ['frn-all', 'bn-all', 'gn-all'])
def test_nothing_is_warned_of_where_nothing_is_left(name):
    with warnings.catch_warnings():
        warnings.simplefilter('error', MixedLayers)
        build_detector(
            Config.fromfile(f'configs/shapes/retinanet_r18-w32_fpn_{name}_1xb2-1k_shapes-128.py')
        )


@pytest.mark.filterwarnings('ignore::mmdet_frn.convert.MixedLayers')
def test_frn_by_norm_cfg_takes_over_all_of_a_bn_backbone():
    bn = MODELS.build(retinanet(backbone={'norm_cfg': {'type': 'BN'}})).backbone
    randomize(bn).eval()
    prior = {'norm_cfg': {'type': 'FRN', 'prior': 1.0}}
    frn = MODELS.build(retinanet(backbone=prior)).backbone
    with pytest.warns(BatchNormConverted):
        frn.load_state_dict(bn.state_dict())
    x = torch.randn(1, 3, *SIZE)
    torch.testing.assert_close(frn(x), bn(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('steps', ['8xb8-25k', '8xb4-50k', '8xb2-100k'])
def test_bn_to_frn_trains_as_bn_star_does(steps):
    name = f'{steps}_coco-1024.py'
    cfg = Config.fromfile(f'configs/convert/retinanet_r101_fpn_bn-to-frn_{name}').to_dict()
    bn = Config.fromfile(f'configs/table6/retinanet_r101_fpn_bn-all-pretrained_{name}').to_dict()
    (hook,) = cfg.pop('custom_hooks')
    bn.pop('custom_hooks', None)
    conversion, detector = cfg['model'].pop('conversion'), cfg['model'].pop('detector')
    cfg['model']['type'] = detector
    assert cfg == bn
    assert hook['start'] == pytest.approx(prior_of(conversion['kappa']))
    assert cfg['model']['backbone']['init_cfg']['checkpoint'] == 'torchvision://resnet101'


@pytest.mark.slow
def test_bn_to_frn_has_no_bn_and_takes_torchvisions_backbone():
    name = 'configs/convert/retinanet_r101_fpn_bn-to-frn_8xb2-100k_coco-1024.py'
    model = build_detector(Config.fromfile(name))
    assert not any(is_batch_norm(m) for m in model.modules())
    source = randomize(torchvision.models.resnet101(weights=None))
    with pytest.warns(BatchNormConverted):
        left = model.backbone.load_state_dict(source.state_dict(), strict=False)
    assert left.missing_keys == []
    assert left.unexpected_keys == ['fc.weight', 'fc.bias']
    bn = source.bn1
    expected = bn.running_mean.square() + bn.running_var + model.backbone.bn1.batch_norm_eps
    torch.testing.assert_close(model.backbone.bn1.prior.nu2, expected)
