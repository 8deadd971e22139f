# What the trainings of the paper's Table 6 share (section 4.3). What depends on the batch size
# comes from mmdet_frn/table6/schedule.py.
_base_ = ['./datasets/coco_1024.py', './default_runtime.py']
# All of train2017, images without objects too.
train_dataloader = dict(dataset=dict(filter_cfg=dict(filter_empty_gt=False)))
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
