_base_ = '../ablations/retinanet_r18-w32_fpn_gn-relu_1xb2-1k_shapes-128.py'

layer = dict(type='AdaLN')
neck = dict(type='ConditionNeck', in_channels=64, num_levels=2, layer=layer)
model = dict(neck=[{{_base_.model.neck}}, neck])
