# RetinaNet with ResNet-101 FPN for training from scratch: MMDetection's RetinaNet with a backbone,
# neck and head whose norm and activation a config replaces with `model = use_norm(...)`.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='NormActResNet',
        depth=101,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_eval=False,
        style='pytorch',
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='ReLU'),
    ),
    neck=dict(
        type='NormActFPN',
        add_extra_convs='on_output',
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='ReLU'),
    ),
    bbox_head=dict(type='NormActRetinaHead', norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU')),
)
