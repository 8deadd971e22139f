# MMDetection's runtime for iteration-based training, with mmdet_frn's layers and models registered.
_base_ = 'mmdet::_base_/default_runtime.py'
custom_imports = dict(imports=['mmdet_frn'], allow_failed_imports=False)

default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    # Two, because MMEngine removes the oldest checkpoint before it writes the next one.
    checkpoint=dict(by_epoch=False, max_keep_ckpts=2),
)
log_processor = dict(by_epoch=False)
custom_hooks = [dict(type='StopAtInvalidLossHook')]
