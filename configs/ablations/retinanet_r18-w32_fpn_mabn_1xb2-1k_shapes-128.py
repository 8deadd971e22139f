_base_ = '../_base_/retinanet_r18-w32_fpn_shapes.py'
from mmdet_frn.norms import use_norm

# By step 300 the running average has forgotten its start; the source's 1000 is the whole run.
model = use_norm('MABN', conv=dict(type='CenteredConv'), renorm_start=300)
