"""What a trial shrinks, and that the network it leaves still trains."""

import pytest
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.registry import init_default_scope

from mmdet_frn.table6.shrink import Scale
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError


@pytest.fixture
def config(request):
    def load(method='frn-all', run='8xb2-500k'):
        path = f'configs/table6/retinanet_r101_fpn_{method}_{run}_coco-1024.py'
        return load_config(request.config.rootpath / path)

    return load


def test_the_papers_protocol_is_left_alone(config):
    cfg = config()
    Scale(1).apply(cfg)
    assert cfg.to_dict() == config().to_dict()
    assert Scale(1).note == ''
    assert Scale(1).images('train') is None


@pytest.mark.parametrize(
    ('factor', 'side', 'depth', 'train', 'val'),
    [(0.5, 864, 101, 83642, 3536), (0.1, 576, 50, 37406, 1581), (0.0001, 96, 18, 1183, 50)],
)
def test_all_is_shrunk_together(config, factor, side, depth, train, val):
    scale = Scale(factor)
    cfg = config()
    scale.apply(cfg)
    assert cfg.train_cfg.max_iters == round(500000 * factor)
    assert cfg.param_scheduler.ramp_up == round(7500 * factor) or factor == 0.0001
    for split in ('train', 'test'):
        (resize,) = [t for t in cfg[f'{split}_dataloader'].dataset.pipeline if t.type == 'Resize']
        assert resize.scale == (side, side)
    assert cfg.model.data_preprocessor.pad_size_divisor == side
    assert cfg.model.backbone.depth == depth
    assert (scale.images('train'), scale.images('val')) == (train, val)
    for number in (f'{factor:g}', f'{side}x{side}', f'ResNet-{depth}', str(train), str(val)):
        assert number in scale.note


@pytest.mark.parametrize('method', ['bn-all', 'gn-all', 'frn-all'])
def test_the_smallest_network_trains(config, method):
    scale = Scale(0.0001)
    cfg = config(method)
    scale.apply(cfg)
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model).train()
    shape = (3, scale.side, scale.side)
    data = demo_mm_inputs(2, image_shapes=[shape] * 2, num_items=[3, 3], num_classes=80)
    data = model.data_preprocessor(data, training=True)
    losses = model(**data, mode='loss')
    model.parse_losses(losses)[0].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ('factor', 'checkpoint'),
    [(1, 'torchvision://resnet101'), (0.1, 'torchvision://resnet50'), (0.001, None)],
)
def test_weights_are_those_of_the_network_that_is_left(config, factor, checkpoint):
    cfg = config('bn-all-pretrained', '8xb2-100k')
    Scale(factor).apply(cfg)
    assert (cfg.model.backbone.init_cfg or {}).get('checkpoint') == checkpoint
    note = Scale(factor).note
    assert ('without ImageNet weights' in note) == (checkpoint is None)


@pytest.mark.parametrize('factor', [0, -1, 1.5, float('nan')])
def test_a_factor_out_of_range(factor):
    with pytest.raises(UsageError, match='--scale must be above 0 and at most 1'):
        Scale(factor)
