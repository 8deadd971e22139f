"""Fitting a config's learning rate and steps to another batch size (section 4.3 of the paper)."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

from mmdet_frn.utils.errors import UsageError

_STEP_KEYS = ('begin', 'end', 'T_max', 'milestones', 'total_steps', 'ramp_up')


def scale_to_batch(cfg: Config, images_per_gpu: int, num_gpus: int = 1) -> None:
    """Change ``cfg`` to a total batch of M = images_per_gpu * num_gpus images, as the paper does.

    With B the batch that the config is written for (``auto_scale_lr.base_batch_size``), the
    learning rate becomes lr * M / B and every number of steps, warm-up and intervals included,
    steps * B / M: the images seen stay the same. Numbers of epochs stay.

    Args:
        cfg: Config with ``auto_scale_lr.base_batch_size``; changed in place.
        images_per_gpu: Images per GPU and step.
        num_gpus: GPUs, or processes on a CPU. Default 1.

    Raises:
        UsageError: the config names no base batch size, or a number is below 1.
    """
    if images_per_gpu < 1 or num_gpus < 1:
        raise UsageError(
            f'images per GPU and GPUs must be >= 1, got {images_per_gpu} and {num_gpus}'
        )
    base = cfg.get('auto_scale_lr', {}).get('base_batch_size')
    if not base:
        raise UsageError(
            f'config {cfg.filename} names no auto_scale_lr.base_batch_size, the batch that its '
            f'learning rate and steps are meant for; add it'
        )
    total = images_per_gpu * num_gpus
    # The runner must not scale what is scaled here.
    cfg.auto_scale_lr.enable = False
    cfg.train_dataloader.batch_size = images_per_gpu
    cfg.optim_wrapper.optimizer.lr *= total / base
    for scheduler in _schedulers(cfg):
        if 'eta_min' in scheduler:
            scheduler.eta_min *= total / base
    scale_steps(cfg, base / total)


def scale_steps(cfg: Config, factor: float) -> None:
    """Multiply every number of steps in ``cfg`` by ``factor``; numbers of epochs stay.

    Args:
        cfg: Config, changed in place.
        factor: Above 0. Every number of steps above 0 stays at least 1.
    """

    def scaled(value: int) -> int:
        return max(1, round(value * factor)) if value > 0 else value

    if 'max_iters' in cfg.train_cfg:
        for key in ('max_iters', 'val_interval', 'val_begin'):
            if key in cfg.train_cfg:
                cfg.train_cfg[key] = scaled(cfg.train_cfg[key])
        checkpoint = cfg.default_hooks.checkpoint
        checkpoint.interval = scaled(checkpoint.interval)
    for scheduler in _schedulers(cfg):
        if scheduler.get('by_epoch', True):
            continue
        for key in _STEP_KEYS:
            value = scheduler.get(key)
            if isinstance(value, list):
                scheduler[key] = [scaled(v) for v in value]
            elif isinstance(value, int):
                scheduler[key] = scaled(value)
        if 'ramp_up' in scheduler and 'end' in scheduler:
            # Rounding must not let it reach the end of a training of a few steps.
            steps = scheduler.end - scheduler.get('begin', 0)
            scheduler.ramp_up = min(scheduler.ramp_up, max(0, steps - 1))


def _schedulers(cfg: Config) -> list[ConfigDict]:
    schedulers = cfg.get('param_scheduler') or []
    return schedulers if isinstance(schedulers, list) else [schedulers]
