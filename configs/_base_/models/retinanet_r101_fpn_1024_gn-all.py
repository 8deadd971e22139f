_base_ = './retinanet_r101_fpn_1024.py'
norm_cfg = dict(type='GN', num_groups=32)
act_cfg = dict(type='ReLU')
model = dict(
    backbone=dict(norm_cfg=norm_cfg, act_cfg=act_cfg),
    neck=dict(norm_cfg=norm_cfg),
    bbox_head=dict(norm_cfg=norm_cfg, act_cfg=act_cfg),
)
