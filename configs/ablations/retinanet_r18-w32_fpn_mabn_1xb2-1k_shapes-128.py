_base_ = '../_base_/retinanet_r18-w32_fpn_shapes.py'
from mmdet_frn.norms import use_norm

# r starts with the end of the warm-up of the learning rate; the source trains for 90000 steps.
model = use_norm('MABN', conv=dict(type='CenteredConv'), renorm_start=100)
