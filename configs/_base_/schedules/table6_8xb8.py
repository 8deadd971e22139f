# Table 6 at 8 images on each of 8 GPUs (section 4.3): 64 images a step.
_base_ = '../table6_training.py'
train_dataloader = dict(batch_size=8)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=125000, val_interval=25000)
param_scheduler = dict(type='RampUpCosineLR', by_epoch=False, ramp_up=1875, end=125000)
optim_wrapper = dict(optimizer=dict(lr=0.05))
auto_scale_lr = dict(enable=False, base_batch_size=64)
default_hooks = dict(checkpoint=dict(interval=5000))
