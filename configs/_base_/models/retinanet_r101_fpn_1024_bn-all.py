_base_ = './retinanet_r101_fpn_1024.py'
# The statistics as in the TensorFlow RetinaNet: its decay of 0.997 is a momentum of 0.003 here.
norm_cfg = dict(type='BN', eps=1e-4, momentum=0.003)
act_cfg = dict(type='ReLU')
model = dict(
    backbone=dict(norm_cfg=norm_cfg, act_cfg=act_cfg),
    neck=dict(norm_cfg=norm_cfg),
    bbox_head=dict(norm_cfg=norm_cfg, act_cfg=act_cfg),
)
