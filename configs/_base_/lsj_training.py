# Training with MMDetection's large-scale jittering at 1024x1024, mixed precision, 90000 steps of
# 8x2 images; configs/lsj/README.md says what is MMDetection's and what is ours.
_base_ = ['./datasets/coco_1024.py', './default_runtime.py']
max_iters = 90000
image_size = (1024, 1024)
train_pipeline = [
    dict(type='SeedByPosition'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_type='absolute_range',
        crop_size=image_size,
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters // 9)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = dict(type='RampUpCosineLR', by_epoch=False, ramp_up=1000, end=max_iters)
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    constructor='NormDecayOptimWrapperConstructor',
    paramwise_cfg=dict(norm_decay_mult=0.0),
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=4e-5),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=5000))
