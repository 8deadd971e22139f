"""What a smoke run shrinks, and that the network it leaves still trains."""

import json

import pytest
from mmdet.registry import DATASETS, MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.registry import init_default_scope

from mmdet_frn.datasets import find_coco, use_coco_folder
from mmdet_frn.experiments.smoke import Scale, use_subsets, write_subsets
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
    with pytest.raises(UsageError, match='--scale must be > 0 and <= 1'):
        Scale(factor)


@pytest.fixture
def cfg(request, tiny_shapes):
    path = 'configs/table6/retinanet_r101_fpn_frn-all_8xb2-500k_coco-1024.py'
    cfg = load_config(request.config.rootpath / path)
    use_coco_folder(cfg, find_coco(tiny_shapes))
    return cfg


def test_subset_has_the_first_images_and_their_objects(cfg, tmp_path, tiny_shapes, monkeypatch):
    monkeypatch.setattr(Scale, 'images', lambda self, split: 5 if split == 'train' else 2)
    use_subsets(cfg, Scale(0.001), tmp_path)
    assert not list(tmp_path.iterdir())
    write_subsets(cfg)
    assert len(list(tmp_path.iterdir())) == 2
    whole = json.loads((tiny_shapes / 'annotations/instances_train.json').read_text())
    ids = sorted(image['id'] for image in whole['images'])[:5]
    init_default_scope('mmdet')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))] == ids
    boxes = sum(len(dataset.get_data_info(i)['instances']) for i in range(len(dataset)))
    assert boxes == sum(a['image_id'] in ids for a in whole['annotations']) > 0
    assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.ann_file
    assert cfg.test_evaluator.ann_file == cfg.test_dataloader.dataset.ann_file


def test_an_existing_subset_is_kept(cfg, tmp_path):
    use_subsets(cfg, Scale(0.001), tmp_path)
    write_subsets(cfg)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_subsets(cfg)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


def test_the_papers_protocol_takes_all_images(cfg, tmp_path):
    before = cfg.to_dict()
    use_subsets(cfg, Scale(1), tmp_path)
    assert cfg.to_dict() == before
