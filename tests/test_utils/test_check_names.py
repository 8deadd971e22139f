"""A slip in a config is one line that names the nearest right name."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hub import get_config

from mmdet_frn.utils.check_names import check_names
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
    ],
)
def test_mmdetections_configs_pass(name):
    check_names(get_config(f'mmdet::{name}'))
