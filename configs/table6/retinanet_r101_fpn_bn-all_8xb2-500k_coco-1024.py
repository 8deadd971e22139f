_base_ = ['../_base_/models/retinanet_r101_fpn_1024_bn-all.py', '../_base_/table6_training.py']
from mmdet_frn.table6 import paper_schedule

train_dataloader, train_cfg, param_scheduler, optim_wrapper, auto_scale_lr, default_hooks = (
    paper_schedule(images_per_gpu=2)
)
