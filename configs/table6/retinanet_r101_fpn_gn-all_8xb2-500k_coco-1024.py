_base_ = [
    '../_base_/models/retinanet_r101_fpn_1024_gn-all.py',
    '../_base_/schedules/table6_8xb2.py',
]
