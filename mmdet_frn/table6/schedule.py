"""The training of Table 6 as a function of the images per GPU (section 4.3)."""

from __future__ import annotations

from typing import NamedTuple

NUM_GPUS = 8
BASE_BATCH_SIZE = 64  # the batch that the numbers below are written for
STEPS = 125_000  # from scratch
FINE_TUNING_STEPS = 25_000  # BN*, from ImageNet weights
BASE_LR = 0.05  # the middle of 0.01, 0.05 and 0.1, the best of which the paper reports
# Ours, the paper gives no length: that of the TensorFlow RetinaNet's warm-up, 120000 images.
RAMP_UP_STEPS = 1875


class PaperSchedule(NamedTuple):
    """The parts of a config that depend on the batch size, under MMEngine's names."""

    train_dataloader: dict
    train_cfg: dict
    param_scheduler: dict
    optim_wrapper: dict
    auto_scale_lr: dict
    default_hooks: dict


def paper_schedule(images_per_gpu: int, *, fine_tuning: bool = False) -> PaperSchedule:
    """Return the training with M = 8 * ``images_per_gpu`` images per step.

    The steps are 125000 * 64 / M, or 25000 * 64 / M, the learning rate is 0.05 * M / 64. The
    ramp-up and the intervals are scaled with the steps: at every M they cover the same images.

    Args:
        images_per_gpu: 8, 4 or 2 in the paper.
        fine_tuning: Train as long as BN*, which starts from ImageNet weights. Default False.

    Raises:
        ValueError: images_per_gpu is below 1.
    """
    if images_per_gpu < 1:
        raise ValueError(f'images_per_gpu must be at least 1, but is {images_per_gpu}')
    batch_size = NUM_GPUS * images_per_gpu

    def scaled(steps: int) -> int:
        return round(steps * BASE_BATCH_SIZE / batch_size)

    steps = FINE_TUNING_STEPS if fine_tuning else STEPS
    max_iters = scaled(steps)
    return PaperSchedule(
        train_dataloader=dict(batch_size=images_per_gpu),
        train_cfg=dict(
            type='IterBasedTrainLoop', max_iters=max_iters, val_interval=scaled(steps // 5)
        ),
        param_scheduler=dict(
            type='RampUpCosineLR', by_epoch=False, ramp_up=scaled(RAMP_UP_STEPS), end=max_iters
        ),
        optim_wrapper=dict(
            type='OptimWrapper',
            # No decay of gamma, beta, tau and epsilon, whatever the norm.
            constructor='NormDecayOptimWrapperConstructor',
            paramwise_cfg=dict(norm_decay_mult=0.0),
            optimizer=dict(
                type='SGD',
                lr=BASE_LR * batch_size / BASE_BATCH_SIZE,
                momentum=0.9,
                weight_decay=4e-4,
            ),
        ),
        auto_scale_lr=dict(enable=False, base_batch_size=batch_size),
        default_hooks=dict(checkpoint=dict(interval=scaled(steps // 25))),
    )
