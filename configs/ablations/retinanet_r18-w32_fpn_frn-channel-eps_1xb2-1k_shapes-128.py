_base_ = '../_base_/retinanet_r18-w32_fpn_shapes.py'
from mmdet_frn.norms import use_norm

model = use_norm('FRN learned eps per channel')
