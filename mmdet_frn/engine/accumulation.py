"""Fewer processes than a config is for: the same images, gradients and learning rates."""

from __future__ import annotations

from mmengine.config import Config

from .accumulation_checks import check_accumulable


def accumulate(cfg: Config, counts: int) -> None:
    """Change ``cfg``, written for some number of processes, into one for a ``counts``-th of them.

    Each process takes the batches of ``counts`` of them one after the other, as they were, and
    makes an optimizer step with the mean of the gradients, as DistributedDataParallel does.
    Iterations are micro-batches from then on, also in logs and names of checkpoints: whatever the
    config does at step t happens at iteration ``counts * t``. Schedulers keep their numbers and
    count optimizer steps. docs/reproducibility.md says what is equal and what is not.

    Args:
        cfg: Config whose training counts iterations; changed in place.
        counts: Processes that each one imitates, so its micro-batches of
            ``train_dataloader.batch_size`` images in an optimizer step.

    Raises:
        UsageError: something in the config could not be imitated exactly; nothing was changed.
    """
    check_accumulable(cfg, counts)
    cfg.optim_wrapper.accumulative_counts = counts
    # Without a number in the config, MMEngine's default is meant.
    loop = cfg.train_cfg
    loop.max_iters *= counts
    loop.val_begin = loop.get('val_begin', 1) * counts
    loop.val_interval = loop.get('val_interval', 1000) * counts
    hooks = cfg.default_hooks
    for key in ('interval', 'save_begin'):
        if hooks.checkpoint.get(key, 0) > 0:
            hooks.checkpoint[key] *= counts
    logger = hooks.get('logger') or dict(type='LoggerHook')
    hooks.logger = dict(logger, interval=logger.get('interval', 10) * counts)
    hooks.param_scheduler = dict(type='OptimStepParamSchedulerHook')
    if 'log_processor' in cfg:
        cfg.log_processor.window_size = cfg.log_processor.get('window_size', 10) * counts
    loader = cfg.train_dataloader
    loader.sampler.update(type='StreamSampler', micro_batches=counts, batch_size=loader.batch_size)
