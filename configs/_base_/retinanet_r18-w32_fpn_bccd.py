# A small RetinaNet from scratch on blood cells at half resolution, 2 images a step.
_base_ = [
    './models/retinanet_r18-w32_fpn.py',
    './datasets/bccd.py',
    './default_runtime.py',
]
max_iters = 2000
warmup_iters = 100
model = dict(
    bbox_head=dict(
        num_classes=3,
        # Platelets measure about 20 pixels at this resolution.
        anchor_generator=dict(octave_base_scale=2),
    )
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
    optimizer=dict(type='AdamW', lr=0.001, betas=(0.9, 0.95), weight_decay=0.01),
    clip_grad=dict(max_norm=35),
)
auto_scale_lr = dict(enable=False, base_batch_size=2)
default_hooks = dict(checkpoint=dict(interval=250))
