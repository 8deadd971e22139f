_base_ = './retinanet_r18-w32_fpn_nf-resnet_1xb2-1k_shapes-128.py'
optim_wrapper = dict(type='AGCOptimWrapper', clip_grad=dict(_delete_=True, clip_factor=0.01))
# As the last layer of the source's classifier.
optim_wrapper['paramwise_cfg'] = dict(custom_keys=dict(retina_=dict(agc=False)))
