# Table 6 at 4 images on each of 8 GPUs (section 4.3): 32 images a step.
_base_ = '../table6_training.py'
train_dataloader = dict(batch_size=4)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=250000, val_interval=50000)
param_scheduler = dict(type='RampUpCosineLR', by_epoch=False, ramp_up=3750, end=250000)
optim_wrapper = dict(optimizer=dict(lr=0.025))
auto_scale_lr = dict(enable=False, base_batch_size=32)
default_hooks = dict(checkpoint=dict(interval=10000))
