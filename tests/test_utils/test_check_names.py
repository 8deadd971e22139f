"""A slip in a config is one line that names the nearest right name."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hub import get_config

from mmdet_frn.utils.check_names import check_names
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob('configs/[!_]*/*.py'))
FRN = next(path for path in CONFIGS if path.startswith('configs/shapes/') and '_frn-' in path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'model.backbone.norm_cfg.type': 'FNR'},
         "model.backbone.norm_cfg.type is 'FNR', which no registry has; did you mean 'FRN'?"),
        ({'model.neck.act_cfg.type': 'TUL'}, "model.neck.act_cfg.type is 'TUL', which"),
        ({'model.backbone.type': 'NormActResnet'}, "did you mean 'NormActResNet'?"),
        ({'custom_hooks': [{'type': 'EMAHok'}]}, "custom_hooks.0.type is 'EMAHok', which no"),
        ({'param_scheduler': [{'type': 'LinerLR'}]}, "did you mean 'LinearLR'?"),
        ({'optim_wrapper.optimizer.type': 'SDG'}, "optim_wrapper.optimizer.type is 'SDG', which"),
        ({'val_evaluator.type': 'mmdet.CocoMetrics'}, "did you mean 'CocoMetric'?"),
        ({'train_dataloader.dataset.type': 'CocoDatset'}, "did you mean 'CocoDataset'?"),
        ({'train_cfg.max_itres': 5},
         'train_cfg.max_itres is no setting of IterBasedTrainLoop; did you mean max_iters?'),
        ({'model.bbox_head.num_clases': 5}, 'model.bbox_head.num_clases is no setting of'),
        ({'train_cfg.max_iters': 0}, 'train_cfg.max_iters must be an integer >= 1, got 0'),
        ({'train_cfg.max_iters': -5}, 'train_cfg.max_iters must be an integer >= 1, got -5'),
        ({'train_cfg.val_interval': 0}, 'train_cfg.val_interval must be an integer >= 1, got 0'),
        ({'train_dataloader.batch_size': 0},
         'train_dataloader.batch_size must be an integer >= 1, got 0'),
        ({'val_dataloader.num_workers': -1}, 'val_dataloader.num_workers must be an integer >= 0'),
        ({'optim_wrapper.optimizer.lr': float('nan')},
         'optim_wrapper.optimizer.lr must be a finite number >= 0, got nan'),
        ({'optim_wrapper.optimizer.lr': 'fast'}, "must be a finite number >= 0, got 'fast'"),
        ({'optim_wrapper.optimizer.weight_decay': -1.0}, 'must be a finite number >= 0, got -1.0'),
        ({'val_evaluator.metric': ['bbox', 'bbbox']},
         "val_evaluator.metric must be of bbox, segm, proposal, proposal_fast, got 'bbbox'"),
        ({'model.backbone.norm_cfg.epss': 1.0},
         'model.backbone.norm_cfg.epss is no setting of FRN; did you mean eps?'),
        ({'model.neck.act_cfg.inti': 0.0}, 'is no setting of TLU; did you mean init?'),
        ({'model.backbone.norm_cfg.num_groups': 32}, 'num_groups is no setting of FRN; it takes '),
        ({'model.neck.act_cfg.type': None}, 'model.neck.act_cfg.type is None; name what'),
        ({'optim_wrapper.optimizer.momentum': 0.9}, 'is no setting of AdamW; it takes amsgrad, '),
        ({'optim_wrapper.clip_grad': {'max_nrm': 1}}, 'clip_grad.max_nrm is no setting; did you'),
        ({'optim_wrapper.constructor': 'NormDecayConstructor'},
         "optim_wrapper.constructor is 'NormDecayConstructor', which no registry has; did you"),
        ({'optim_wrapper.paramwise_cfg.norm_decay_mul': 0.0}, 'did you mean norm_decay_mult?'),
        ({'default_hooks.checkpoint.intervall': 2},
         'intervall is no setting of CheckpointHook; did you mean interval?'),
        ({'default_hooks.chekpoint': {'type': 'CheckpointHook'}}, 'did you mean checkpoint?'),
        ({'custom_hooks': ["dict(type='EMAHook')"]}, 'custom_hooks.0 must be a dict with a type'),
        ({'train_dataloader.batch_siz': 2},
         'train_dataloader.batch_siz is no setting; did you mean batch_size?'),
        ({'train_dataloader.dataset.pipeline.0.scale': 2},
         'scale is no setting of SeedByPosition; it takes nothing; if the key is inherited'),
        ({'train_dataloader.dataset.pipeline.2.with_box': True},
         'is no setting of LoadAnnotations; did you mean with_bbox?'),
        ({'model.test_cfg.score_thrr': 0.1},
         'model.test_cfg has both score_thr and score_thrr; remove the one that is a slip'),
        ({'randomness.sead': 3}, 'randomness.sead is no setting; did you mean seed?'),
        ({'randomness.seed': 'three'}, "randomness.seed must be an integer >= 0, got 'three'"),
        ({'train_cfg.max_iters': 2**31}, 'train_cfg.max_iters must be an integer <= 2147483647'),
        ({'log_level': 'INOF'}, "log_level is 'INOF', which is unknown; did you mean 'INFO'?"),
        ({'default_scope': 'mmdett'}, "did you mean 'mmdet'?"),
        ({'trian_cfg': {'max_iters': 5}}, 'trian_cfg is no key of a config; did you mean train'),
        ({'optim_wraper.optimizer.lr': 5}, 'did you mean optim_wrapper?'),
    ],
)  # fmt: skip
def test_a_slip_is_named_with_what_was_meant(change, message):
    cfg = Config.fromfile(ROOT / FRN)
    cfg.merge_from_dict(change)
    with pytest.raises(UsageError) as error:
        check_names(cfg)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ('key', 'meant'),
    [
        ('lr', 'optim_wrapper.optimizer.lr'),
        ('max_iter', 'train_cfg.max_iters'),
        ('modle.neck.type', 'model'),
    ],
)
def test_an_option_that_nothing_reads_is_named_with_what_was_meant(key, meant):
    with pytest.raises(UsageError) as error:
        load_config(ROOT / FRN, {key: 1})
    name = key.partition('.')[0]
    assert str(error.value) == (f'--cfg-options {key}: nothing reads {name}; did you mean {meant}?')


@pytest.mark.parametrize('key', ['compile', 'sync_bn', 'load_from', 'tta_model'])
def test_an_option_that_the_config_or_mmengine_reads_is_taken(key):
    assert load_config(ROOT / FRN, {key: 'x'})[key] == 'x'


@pytest.mark.parametrize('path', CONFIGS)
def test_the_configs_pass(path):
    check_names(Config.fromfile(ROOT / path))


@pytest.mark.parametrize(
    'name',
    [
        'retinanet/retinanet_r50_fpn_1x_coco.py',
        'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        'yolox/yolox_s_8xb8-300e_coco.py',
        'detr/detr_r50_8xb2-150e_coco.py',
        'dino/dino-4scale_r50_8xb2-12e_coco.py',
        'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
        'rtmdet/rtmdet_s_8xb32-300e_coco.py',
        'albu_example/mask-rcnn_r50_fpn_albu-1x_coco.py',
        'cascade_rpn/cascade-rpn_fast-rcnn_r50-caffe_fpn_1x_coco.py',
        'ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py',
        'soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py',
        'v3det/dino-4scale_swin_16xb1_sample1e-3_v3det_36e.py',
        'vfnet/vfnet_r50_fpn_1x_coco.py',
    ],
)
def test_mmdetections_configs_pass(name):
    check_names(get_config(f'mmdet::{name}'))
