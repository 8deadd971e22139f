_base_ = './retinanet_r101_fpn_1024.py'
from mmdet_frn.norms import use_norm

# The statistics as in the TensorFlow RetinaNet: its decay of 0.997 is a momentum of 0.003 here.
model = use_norm('BN', neck_act=False, eps=1e-4, momentum=0.003)
