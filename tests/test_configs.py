"""Every config: it resolves and trains to the end of its schedule; the small ones build.

The R101 detectors that table6 and lsj share are built in test_configs_table6.py.
"""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.hub import get_config
from torch import nn

from mmdet_frn.layers import FRN, TLU
from mmdet_frn.norms.table import TAU_INIT

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob('configs/*/*-all_*.py'))
SMALL = [path for path in CONFIGS if '_r18-w32_' in path]
FOLDERS = ('configs/bccd', 'configs/lsj', 'configs/shapes')
NORMS = {'bn': nn.BatchNorm2d, 'gn': nn.GroupNorm, 'frn': FRN}


@pytest.mark.parametrize('path', SMALL)
def test_config_builds_with_its_norm_everywhere(path):
    register_all_modules()
    cfg = Config.fromfile(ROOT / path)
    model = MODELS.build(cfg.model)
    norm = path.split('_fpn_')[1].split('-')[0]
    for part in (model.backbone, model.neck, model.bbox_head):
        found = {type(m) for m in part.modules() if isinstance(m, tuple(NORMS.values()))}
        assert found == {NORMS[norm]}
        assert any(isinstance(m, TLU) for m in part.modules()) == (norm == 'frn')
    assert {m.eps for m in model.modules() if isinstance(m, FRN)} <= {1e-6}
    # From scratch: nothing frozen, no statistics kept from elsewhere.
    assert all(p.requires_grad for p in model.parameters())
    assert model.backbone.init_cfg is None or 'Pretrained' not in str(model.backbone.init_cfg)
    assert not model.backbone.norm_eval


@pytest.mark.parametrize('folder', FOLDERS)
def test_norms_of_a_folder_differ_in_nothing_else(folder):
    others = []
    for path in [p for p in CONFIGS if p.startswith(f'{folder}/')]:
        cfg = Config.fromfile(ROOT / path).to_dict()
        for part in ('backbone', 'neck', 'bbox_head'):
            del cfg['model'][part]['norm_cfg'], cfg['model'][part]['act_cfg']
        others.append(cfg)
    assert len(others) == 3
    assert others[0] == others[1] == others[2]


@pytest.mark.parametrize('path', CONFIGS)
def test_a_name_has_batch_size_and_steps(path):
    """As MMDetection's: model_setting_NxB-schedule_data.py."""
    cfg = Config.fromfile(ROOT / path)
    images, thousands = re.search(r'_\dxb(\d)-[a-z-]*?(\d+)k_', path).groups()
    assert cfg.train_dataloader.batch_size == int(images)
    assert cfg.train_cfg.max_iters == int(thousands) * 1000


def chain(path):
    """Length of the longest chain of this project's configs from ``path`` to its bases."""
    text = path.read_text(encoding='utf-8')
    named = re.findall(r"'(\.[^']*\.py)'", text.partition('_base_ =')[2].split('\n\n')[0])
    return 1 + max((chain(path.parent / base) for base in named), default=0)


@pytest.mark.parametrize('path', CONFIGS)
def test_a_config_inherits_over_three_levels_at_most(path):
    assert chain(ROOT / path) <= 1 + 3


def test_small_configs_start_tau_at_the_tables_value_and_the_papers_at_0():
    starts = {}
    for path in [path for path in CONFIGS if '_frn-all_' in path]:
        model = Config.fromfile(ROOT / path).model
        for part in (model.backbone, model.bbox_head):
            starts.setdefault(path in SMALL, set()).add(part.act_cfg.get('init', 0.0))
    assert starts == {True: {TAU_INIT}, False: {0.0}}


@pytest.mark.parametrize('path', CONFIGS)
def test_head_has_the_classes_of_the_data(path):
    cfg = Config.fromfile(ROOT / path)
    for split in ('train', 'val', 'test'):
        metainfo = cfg[f'{split}_dataloader'].dataset.get('metainfo', CocoDataset.METAINFO)
        assert cfg.model.bbox_head.num_classes == len(metainfo['classes'])


@pytest.mark.parametrize('path', CONFIGS)
def test_schedule_ends_with_training(path):
    cfg = Config.fromfile(ROOT / path)
    schedulers = cfg.param_scheduler
    schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
    for first, second in pairwise(schedulers):
        assert first.end == second.begin
    assert schedulers[-1].end == cfg.train_cfg.max_iters
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0
    assert cfg.train_cfg.max_iters % cfg.default_hooks.checkpoint.interval == 0
    assert cfg.default_hooks.checkpoint.max_keep_ckpts >= 2


@pytest.mark.parametrize('path', [path for path in CONFIGS if '/lsj/' in path])
def test_lsj_trains_as_mmdetections_does_and_tests_at_1024(path):
    cfg = Config.fromfile(ROOT / path)
    theirs = get_config('mmdet::common/lsj-100e_coco-detection.py')
    # Ours seeds the augmentation first, and leaves backend_args at its default.
    seeding, *ours = cfg.train_pipeline
    assert seeding.type == 'SeedByPosition'
    assert [{'backend_args': None, **ours[0]}, *ours[1:]] == theirs.train_pipeline
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    assert [t.scale for t in theirs.test_pipeline if t.type == 'Resize'] == [(1333, 800)]
    assert [t.scale for t in cfg.test_pipeline if t.type == 'Resize'] == [(1024, 1024)]
    # Padding to a multiple of 1024 pads every crop to 1024x1024.
    assert cfg.model.data_preprocessor.pad_size_divisor == 1024
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_iters) == (2, 90000)
    assert cfg.auto_scale_lr.base_batch_size == 8 * 2
