# A small RetinaNet from scratch on the generated shapes, 2 images a step.
_base_ = [
    './models/retinanet_r18-w32_fpn.py',
    './datasets/shapes.py',
    './default_runtime.py',
]
max_iters = 1000
warmup_iters = 100
# P3 and P4, whose anchors measure 32 to 102 pixels: the shapes have 26 to 83. A level without a
# positive anchor would get gradients of rounding noise, which Adam scales up to full steps.
strides = [8, 16]
model = dict(
    backbone=dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
    neck=dict(in_channels=[32, 64, 128], num_outs=len(strides)),
    bbox_head=dict(num_classes=4, anchor_generator=dict(strides=strides)),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters // 4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=warmup_iters, end=max_iters),
]
# With Adam's usual second beta, 0.999, single seeds lag: docs/results/shapes.md.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.002, betas=(0.9, 0.95), weight_decay=0.01),
    clip_grad=dict(max_norm=35),
)
auto_scale_lr = dict(enable=False, base_batch_size=2)
default_hooks = dict(checkpoint=dict(interval=250))
