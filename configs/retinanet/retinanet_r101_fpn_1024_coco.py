# The paper's detector (section 4.3) from scratch on COCO, written for its largest batch: 8 images
# on each of 8 GPUs. tools/compare.py scales the learning rate and the steps to other batches.
_base_ = [
    '../_base_/models/retinanet_r101_fpn.py',
    '../_base_/datasets/coco_1024.py',
    '../_base_/default_runtime.py',
]
max_iters = 125000
warmup_iters = 1000
# Every batch is 1024x1024, so that all maps of a level have one size.
model = dict(data_preprocessor=dict(pad_size_divisor=1024))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters // 5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=warmup_iters, end=max_iters),
]
# The paper reports the best of 0.01, 0.05 and 0.1.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=4e-4),
)
auto_scale_lr = dict(enable=False, base_batch_size=64)
default_hooks = dict(checkpoint=dict(interval=5000))
