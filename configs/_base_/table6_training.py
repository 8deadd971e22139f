# What all trainings of the paper's Table 6 share (section 4.3). What depends on the batch size is
# in schedules/table6_8xb*.py; configs/table6/README.md has the source of each choice.
_base_ = ['./datasets/coco_1024.py', './default_runtime.py']
# All of train2017, images without objects too.
train_dataloader = dict(dataset=dict(filter_cfg=dict(filter_empty_gt=False)))
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    # No decay of gamma, beta, tau and epsilon, whatever the norm.
    constructor='NormDecayOptimWrapperConstructor',
    paramwise_cfg=dict(norm_decay_mult=0.0),
    optimizer=dict(type='SGD', momentum=0.9, weight_decay=4e-4),
)
