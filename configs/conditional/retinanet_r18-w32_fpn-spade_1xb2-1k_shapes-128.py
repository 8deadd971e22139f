_base_ = '../ablations/retinanet_r18-w32_fpn_gn-relu_1xb2-1k_shapes-128.py'

layer = dict(type='SPADE', hidden=64)
neck = dict(type='ConditionNeck', in_channels=64, num_levels=2, layer=layer, condition_features=1)
model = dict(neck=[{{_base_.model.neck}}, neck])
