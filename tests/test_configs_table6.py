"""The configs of Table 6 against the formulas of the paper's section 4.3, written out here."""

import copy
import functools
import pickle
import re
from pathlib import Path

import pytest
import torch
import torchvision
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.nn import functional as F

from mmdet_frn.experiments.scaling import scale_to_batch
from mmdet_frn.layers import FRN, TLU

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'configs' / 'table6'
METHODS = ('bn-all-pretrained', 'bn-all', 'gn-all', 'frn-all')
CELLS = [(method, images) for method in METHODS for images in (8, 4, 2)]
NORMS = {'bn': nn.BatchNorm2d, 'gn': nn.GroupNorm, 'frn': FRN}


def steps(method, images):
    return {'bn-all-pretrained': 25000}.get(method, 125000) * 64 // (8 * images)


def path(method, images):
    thousands = steps(method, images) // 1000
    return FOLDER / f'retinanet_r101_fpn_{method}_8xb{images}-{thousands}k_coco-1024.py'


@functools.cache
def loaded(method, images):
    return Config.fromfile(path(method, images))


def config(method, images):
    return copy.deepcopy(loaded(method, images))


def learning_rates():
    """(images per GPU, base learning rate, learning rate) as the README's table has them."""
    text = (FOLDER / 'README.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| (\d) images \| (\S+) \| (\S+) \| (\S+) \|$', text, re.MULTILINE)
    bases = (0.01, 0.05, 0.1)
    return [
        (int(images), base, float(lr))
        for images, *lrs in rows
        for base, lr in zip(bases, lrs, strict=True)
    ]


def test_the_folder_has_the_twelve_cells():
    assert set(FOLDER.glob('*.py')) == {path(*cell) for cell in CELLS}


def test_the_readme_has_nine_learning_rates():
    assert {(images, base) for images, base, _ in learning_rates()} == {
        (images, base) for images in (8, 4, 2) for base in (0.01, 0.05, 0.1)
    }


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize(('images', 'base_lr', 'lr'), learning_rates())
def test_the_papers_training(method, images, base_lr, lr):
    cfg = config(method, images)
    cfg.merge_from_dict({'optim_wrapper.optimizer.lr': lr})
    batch_size = 8 * images
    base_steps = 25000 if method == 'bn-all-pretrained' else 125000
    assert cfg.train_cfg.type == 'IterBasedTrainLoop'
    assert cfg.train_cfg.max_iters == base_steps * 64 / batch_size
    assert cfg.train_cfg.max_iters * batch_size == 64 * base_steps  # images seen
    assert cfg.train_dataloader.batch_size == images
    assert cfg.train_dataloader.sampler.type == 'StreamSampler'
    assert cfg.optim_wrapper.type == 'OptimWrapper'
    assert 'accumulative_counts' not in cfg.optim_wrapper
    assert cfg.optim_wrapper.optimizer == {
        'type': 'SGD',
        'lr': pytest.approx(base_lr * batch_size / 64),
        'momentum': 0.9,
        'weight_decay': 4e-4,
    }
    assert cfg.param_scheduler == {
        'type': 'RampUpCosineLR',
        'by_epoch': False,
        'ramp_up': 1875 * 64 / batch_size,
        'end': base_steps * 64 / batch_size,
    }
    assert cfg.train_cfg.val_interval == base_steps / 5 * 64 / batch_size
    assert cfg.default_hooks.checkpoint.interval == base_steps / 25 * 64 / batch_size
    assert not cfg.default_hooks.checkpoint.by_epoch
    assert cfg.default_hooks.checkpoint.max_keep_ckpts == 2
    assert cfg.auto_scale_lr == {'enable': False, 'base_batch_size': batch_size}


@pytest.mark.parametrize(('method', 'images'), CELLS)
def test_the_default_is_the_middle_base_learning_rate(method, images):
    lr = config(method, images).optim_wrapper.optimizer.lr
    assert lr == pytest.approx(0.05 * images / 8)


@pytest.mark.parametrize(('method', 'images'), CELLS)
def test_coco_at_1024_for_training_and_testing(method, images):
    cfg = config(method, images)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        (resize,) = [t for t in cfg[name].dataset.pipeline if t.type == 'Resize']
        assert resize == {'type': 'Resize', 'scale': (1024, 1024), 'keep_ratio': True}
    assert cfg.model.data_preprocessor.pad_size_divisor == 1024
    assert 'train2017' in cfg.train_dataloader.dataset.ann_file
    assert not cfg.train_dataloader.dataset.filter_cfg.filter_empty_gt
    assert 'val2017' in cfg.val_evaluator.ann_file
    assert (cfg.val_evaluator.type, cfg.val_evaluator.metric) == ('CocoMetric', 'bbox')


@pytest.mark.parametrize('images', [8, 4, 2])
def test_methods_differ_in_norm_activation_weights_and_steps_alone(images):
    others = []
    for method in METHODS:
        cfg = config(method, images).to_dict()
        for name in ('backbone', 'neck', 'bbox_head'):
            del cfg['model'][name]['norm_cfg']
        for name in ('backbone', 'bbox_head'):
            del cfg['model'][name]['act_cfg']
        init_cfg = cfg['model']['backbone'].pop('init_cfg', None)
        if method == 'bn-all-pretrained':
            assert init_cfg == {'type': 'Pretrained', 'checkpoint': 'torchvision://resnet101'}
            for number in ('max_iters', 'val_interval'):
                cfg['train_cfg'][number] *= 5
            cfg['param_scheduler']['end'] *= 5
            cfg['default_hooks']['checkpoint']['interval'] *= 5
        else:
            assert init_cfg is None
        others.append(cfg)
    assert all(other == others[0] for other in others)


@pytest.mark.parametrize(('method', 'images'), CELLS)
def test_compare_scales_the_largest_batch_to_each_cell(method, images):
    scaled = config(method, 8)
    scale_to_batch(scaled, images, num_gpus=8)
    cell = config(method, images)
    assert scaled.auto_scale_lr.pop('base_batch_size') == 64
    assert cell.auto_scale_lr.pop('base_batch_size') == 8 * images
    lr = cell.optim_wrapper.optimizer.lr
    assert scaled.optim_wrapper.optimizer.lr == pytest.approx(lr)
    scaled.optim_wrapper.optimizer.lr = lr
    assert scaled.to_dict() == cell.to_dict()


@pytest.mark.parametrize('method', METHODS)
def test_a_config_survives_dump_pickle_and_another_folder(method, tmp_path, monkeypatch):
    """The function that a config imports leaves no trace in it."""
    monkeypatch.chdir(tmp_path)
    cfg = config(method, 4)
    cfg.dump('dumped.py')
    assert Config.fromfile('dumped.py').to_dict() == cfg.to_dict()
    assert pickle.loads(pickle.dumps(cfg)).to_dict() == cfg.to_dict()
    (tmp_path / 'mine.py').write_text(f'_base_ = {str(path(method, 4))!r}\n')
    assert Config.fromfile('mine.py').to_dict() == cfg.to_dict()
    assert not any(callable(value) for value in cfg.to_dict().values())


@pytest.fixture(scope='module', params=METHODS)
def built(request):
    """A method with its config and detector, without reading ImageNet weights."""
    register_all_modules()
    cfg = config(request.param, 8)
    return request.param, cfg, MODELS.build(cfg.model)


def test_the_detector_of_each_method(built):
    method, cfg, model = built
    name = method.split('-')[0]
    for part in (model.backbone, model.neck, model.bbox_head):
        norms = [m for m in part.modules() if isinstance(m, tuple(NORMS.values()))]
        assert {type(norm) for norm in norms} == {NORMS[name]}
        has_act = any(isinstance(m, (TLU, nn.ReLU)) for m in part.modules())
        assert has_act == (part is not model.neck)
        assert any(isinstance(m, TLU) for m in part.modules()) == (has_act and name == 'frn')
        for norm in norms:
            if name == 'bn':
                assert (norm.eps, norm.momentum) == (1e-4, pytest.approx(1 - 0.997))
            elif name == 'gn':
                assert norm.num_groups == 32
            else:
                assert norm.eps == 1e-6
    assert all(p.requires_grad for p in model.parameters())
    assert not model.backbone.norm_eval
    assert len(model.neck.fpn_convs) == 5
    # The decay: all weights and biases but those of norms and activations.
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decay = {id(p): g['weight_decay'] for g in wrapper.param_groups for p in g['params']}
    for module in model.modules():
        expected = 0 if isinstance(module, (*NORMS.values(), TLU)) else 4e-4
        for parameter in module.parameters(recurse=False):
            assert decay[id(parameter)] == pytest.approx(expected)
    if name == 'bn':
        names = set(torchvision.models.resnet101(weights=None).state_dict())
        assert set(model.backbone.state_dict()) == names - {'fc.weight', 'fc.bias'}


def test_the_losses_of_the_tensorflow_retinanet():
    register_all_modules()
    head = config('frn-all', 8).model.bbox_head
    assert (head.loss_cls.gamma, head.loss_cls.alpha) == (1.5, 0.25)
    torch.manual_seed(0)
    boxes, targets = torch.randn(2, 50, 4) / 5
    positives = torch.arange(50) % 3 == 0
    loss = MODELS.build(head.loss_bbox)(
        boxes, targets, positives[:, None].expand(50, 4).float(), avg_factor=int(positives.sum())
    )
    huber = F.huber_loss(boxes[positives], targets[positives], reduction='sum', delta=0.1)
    torch.testing.assert_close(loss, 50 * huber / (4 * positives.sum()))


def test_the_anchors_of_the_tensorflow_retinanet():
    """Centres in the middle of a cell; sizes that differ by the rounding of its aspects, 1%."""
    register_all_modules()
    cfg = config('gn-all', 8).model.bbox_head.anchor_generator
    generator = TASK_UTILS.build(cfg)
    anchors = generator.grid_priors(
        [(1024 // s, 1024 // s) for s in (8, 16, 32, 64, 128)], device='cpu'
    )
    for stride, level in zip((8, 16, 32, 64, 128), anchors, strict=True):
        centres = (level[:, :2] + level[:, 2:]) / 2
        torch.testing.assert_close(centres.min(), torch.tensor(stride / 2))
        torch.testing.assert_close(centres.max(), torch.tensor(1024 - stride / 2))
        sizes = {tuple(size) for size in (level[:9, 2:] - level[:9, :2]).tolist()}
        theirs = [
            (4 * stride * 2 ** (k / 3) * x, 4 * stride * 2 ** (k / 3) * y)
            for k in range(3)
            for x, y in ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))
        ]
        ours = torch.tensor(sorted(sizes))
        torch.testing.assert_close(ours, torch.tensor(sorted(theirs)), rtol=0.011, atol=0)
