# Table 6 at 2 images on each of 8 GPUs (section 4.3): 16 images a step.
_base_ = '../table6_training.py'
train_dataloader = dict(batch_size=2)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=500000, val_interval=100000)
param_scheduler = dict(type='RampUpCosineLR', by_epoch=False, ramp_up=7500, end=500000)
optim_wrapper = dict(optimizer=dict(lr=0.0125))
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=20000))
