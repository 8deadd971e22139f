# BN*: the backbone starts from ImageNet weights, and nothing of it is frozen.
_base_ = './retinanet_r101_fpn_1024_bn-all.py'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101')))
