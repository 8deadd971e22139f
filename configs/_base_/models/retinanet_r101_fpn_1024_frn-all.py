_base_ = './retinanet_r101_fpn_1024.py'
from mmdet_frn.norms import use_norm

# The paper does not say where tau starts; 0 is ours.
model = use_norm('FRN', dict(type='TLU'), neck_act=False)
