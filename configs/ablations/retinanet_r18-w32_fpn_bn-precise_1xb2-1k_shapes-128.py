_base_ = '../_base_/retinanet_r18-w32_fpn_shapes.py'
custom_hooks = [dict(type='StopAtInvalidLossHook'), dict(type='PreciseBNHook')]
