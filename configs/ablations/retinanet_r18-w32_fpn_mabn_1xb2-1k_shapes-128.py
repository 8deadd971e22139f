_base_ = '../_base_/retinanet_r18-w32_fpn_shapes.py'
from mmdet_frn.norms import use_norm

# For 1000 steps at AdamW's rate in place of the source's 90000 and window of 16: docs/norms.md.
model = use_norm('MABN', conv=dict(type='CenteredConv'), buffer_size=4, renorm_start=300)
