# BN*: the backbone starts from ImageNet weights, none of it is frozen; a fifth of the steps.
_base_ = [
    '../_base_/models/retinanet_r101_fpn_1024_bn-all.py',
    '../_base_/schedules/table6_8xb2.py',
]
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101')))
train_cfg = dict(max_iters=100000, val_interval=20000)
param_scheduler = dict(end=100000)
default_hooks = dict(checkpoint=dict(interval=4000))
