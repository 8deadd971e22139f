_base_ = './retinanet_r101_fpn_1024.py'
from mmdet_frn.norms import use_norm

model = use_norm('GN', neck_act=False)
