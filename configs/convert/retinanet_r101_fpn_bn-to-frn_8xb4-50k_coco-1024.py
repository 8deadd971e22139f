# BN* -> FRN*: BN* with its norms converted to FRN and TLU as they are loaded. The prior fades to
# none, so the training ends with the paper's FRN.
_base_ = '../table6/retinanet_r101_fpn_bn-all-pretrained_8xb4-50k_coco-1024.py'
model = dict(
    type='Converted',
    detector='RetinaNet',
    conversion=dict(norm_cfg=dict(type='FRN'), act_cfg=dict(type='TLU'), kappa=100),
)
custom_hooks = [dict(type='PriorAnnealingHook', start=100 / 101, stop=0, curve='cosine')]
