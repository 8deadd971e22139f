# The detector of the paper's Table 6, its norm left open. Where the paper is silent it follows the
# TensorFlow RetinaNet as far as configs reach: configs/table6/README.md has each choice's source.
_base_ = './retinanet_r101_fpn.py'
model = dict(
    # Every batch is 1024x1024, so that all maps of a level have one size.
    data_preprocessor=dict(pad_size_divisor=1024),
    # P3-P7 have a norm without an activation; a ReLU stands before the convolution of P7 alone.
    neck=dict(act_cfg=None, relu_before_extra_convs=True),
    bbox_head=dict(
        anchor_generator=dict(center_offset=0.5),
        loss_cls=dict(gamma=1.5),
        # 50 times Huber's loss with delta 0.1, averaged over the four coordinates.
        loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=0.1, loss_weight=50 * 0.1 / 4),
    ),
    train_cfg=dict(assigner=dict(neg_iou_thr=0.5, gt_max_assign_all=False)),
)
