_base_ = '../_base_/retinanet_r18-w32_fpn_shapes.py'
from mmdet_frn.norms import use_norm

# The source's schedule, 50 times shorter.
model = use_norm('BatchRenorm', start=100, r_end=800, d_end=500)
