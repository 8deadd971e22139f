"""What becomes of a config that is accumulated, and which are refused."""

import copy

import pytest
from mmengine.config import Config

from mmdet_frn.engine import accumulate
from mmdet_frn.utils.errors import UsageError

CONFIG = 'configs/shapes/retinanet_r18-w32_fpn_frn-all_1xb2-1k_shapes-128.py'


@pytest.fixture
def cfg(request):
    return Config.fromfile(request.config.rootpath / CONFIG)


def test_numbers_of_iterations_grow_and_schedules_stay(cfg):
    cfg.default_hooks.checkpoint.save_begin = 500
    before = copy.deepcopy(cfg)
    accumulate(cfg, 4)
    assert cfg.optim_wrapper == {**before.optim_wrapper, 'accumulative_counts': 4}
    assert cfg.train_cfg == {
        'type': 'IterBasedTrainLoop',
        'max_iters': 4000,
        'val_interval': 1000,
        'val_begin': 4,
    }
    assert cfg.default_hooks.checkpoint.interval == 1000
    assert cfg.default_hooks.checkpoint.save_begin == 2000
    assert cfg.default_hooks.checkpoint.max_keep_ckpts == 2
    assert cfg.default_hooks.logger.interval == 80
    assert cfg.default_hooks.param_scheduler == {'type': 'OptimStepParamSchedulerHook'}
    assert cfg.log_processor.window_size == 4 * before.log_processor.window_size
    assert cfg.param_scheduler == before.param_scheduler
    assert cfg.train_dataloader.batch_size == before.train_dataloader.batch_size
    assert cfg.train_dataloader.sampler == {
        'type': 'StreamSampler',
        'shuffle': True,
        'micro_batches': 4,
        'batch_size': 2,
    }
    assert cfg.train_dataloader.dataset == before.train_dataloader.dataset


def test_mmengines_defaults_grow_too(cfg):
    del cfg.train_cfg['val_interval'], cfg.default_hooks['logger']
    cfg.pop('log_processor')
    cfg.default_hooks.checkpoint.interval = -1  # MMEngine's never
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    accumulate(cfg, 3)
    assert cfg.train_cfg.val_interval == 3000
    assert cfg.default_hooks.logger == {'type': 'LoggerHook', 'interval': 30}
    assert cfg.default_hooks.checkpoint.interval == -1
    assert cfg.train_dataloader.sampler.type == 'StreamSampler'


@pytest.mark.parametrize(
    'name',
    [
        'bccd/retinanet_r18-w32_fpn_gn-all_1xb2-2k_bccd-320x240',
        'table6/retinanet_r101_fpn_bn-all_8xb2-500k_coco-1024',
    ],
)
def test_the_other_configs_can_be_accumulated(name, request):
    cfg = Config.fromfile(request.config.rootpath / f'configs/{name}.py')
    accumulate(cfg, 8)
    assert cfg.optim_wrapper.accumulative_counts == 8


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'train_cfg.type': 'EpochBasedTrainLoop'}, 'train_cfg.type must be IterBasedTrainLoop,'),
        ({'train_cfg.max_epochs': 5}, 'train_cfg.max_epochs must be None, got 5'),
        ({'train_cfg.dynamic_intervals': [(5, 1)]}, 'train_cfg.dynamic_intervals must be None'),
        ({'default_hooks.checkpoint.by_epoch': True}, 'by_epoch must be False, got True'),
        ({'default_hooks.param_scheduler.type': 'Mine'}, 'ParamSchedulerHook, got Mine'),
        ({'custom_hooks': [{'type': 'EMAHook'}]}, 'custom hook EMAHook may act'),
        ({'optim_wrapper.type': 'ApexOptimWrapper'}, 'or AmpOptimWrapper, got ApexOptimWrapper'),
        ({'optim_wrapper.accumulative_counts': 2}, 'accumulative_counts must be 1, got 2'),
        ({'auto_scale_lr.enable': True}, 'auto_scale_lr.enable must be False'),
        ({'param_scheduler.0.by_epoch': True}, 'param_scheduler LinearLR must be False, got True'),
        ({'train_dataloader.sampler.type': 'DefaultSampler'}, 'or StreamSampler, got DefaultSa'),
        ({'train_dataloader.sampler': None}, 'InfiniteSampler or StreamSampler, got DefaultS'),
        ({'train_dataloader.batch_sampler': {'type': 'X'}}, 'batch_sampler must be None, got'),
        ({'train_dataloader.num_batch_per_epoch': 3}, 'num_batch_per_epoch must be None, got 3'),
        ({'sync_bn': 'torch'}, 'sync_bn must be None, got torch'),
        ({'model.neck.norm_cfg.type': 'SyncBN'}, 'SyncBN takes statistics'),
        (
            {'model.data_preprocessor.batch_augments': [{'type': 'BatchSyncRandomResize'}]},
            'BatchSyncRandomResize draws a size',
        ),
        ({'model.bbox_head.type': 'FCOSHead'}, 'the loss of FCOSHead is normalised over'),
        ({'model.bbox_head.type': 'mmdet.ATSSHead'}, 'the loss of ATSSHead is normalised over'),
    ],
)
def test_what_cannot_be_exact_is_refused_and_nothing_changed(change, message, cfg):
    cfg.merge_from_dict(change)
    before = copy.deepcopy(cfg.to_dict())
    with pytest.raises(UsageError, match=message):
        accumulate(cfg, 2)
    assert cfg.to_dict() == before


def test_twice_is_refused(cfg):
    accumulate(cfg, 2)
    with pytest.raises(UsageError, match='cannot be accumulated exactly: '):
        accumulate(cfg, 2)


@pytest.mark.parametrize('counts', [0, -1, 1.5, '2'])
def test_counts_that_are_none_are_refused(counts, cfg):
    with pytest.raises(UsageError, match='counts must be an integer >= 1'):
        accumulate(cfg, counts)
