# A small RetinaNet for training from scratch on a CPU in minutes: ResNet-18 at half its width, 64
# channels in neck and head, two head convolutions. Residual blocks do not start as
# identities: with that start FRN reached AP50 24.9 instead of 27.9 in 1000 steps (one run each).
_base_ = './retinanet_r101_fpn.py'
width = 32
channels = 64
model = dict(
    backbone=dict(depth=18, base_channels=width, zero_init_residual=False),
    neck=dict(in_channels=[width, 2 * width, 4 * width, 8 * width], out_channels=channels),
    bbox_head=dict(in_channels=channels, feat_channels=channels, stacked_convs=2),
)
