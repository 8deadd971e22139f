"""Fewer processes than a config is for: the same images, gradients and learning rates."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from mmengine.config import Config

from mmdet_frn.utils.errors import UsageError

# Hooks of MMEngine and MMDetection that change no number, or only after a validation.
_HARMLESS_HOOKS = {
    *('ChannelsLastHook', 'CheckInvalidLossHook', 'EarlyStoppingHook', 'EmptyCacheHook'),
    *('MemoryProfilerHook', 'NumClassCheckHook', 'StopAtInvalidLossHook'),
}
# Settings that one process can imitate: MMEngine's default where the config has none, and which.
_IMITATED: dict[str, tuple[Any, list]] = {
    'train_cfg.type': ('IterBasedTrainLoop', ['IterBasedTrainLoop']),
    'train_cfg.max_epochs': (None, [None]),
    'train_cfg.dynamic_intervals': (None, [None]),
    'default_hooks.checkpoint.by_epoch': (True, [False]),
    # Another would have to count optimizer steps.
    'default_hooks.param_scheduler.type': ('ParamSchedulerHook', ['ParamSchedulerHook']),
    'optim_wrapper.type': ('OptimWrapper', ['OptimWrapper', 'AmpOptimWrapper']),
    'optim_wrapper.accumulative_counts': (1, [1]),
    # It would scale by the batch of a single process.
    'auto_scale_lr.enable': (False, [False]),
    # The order of others over several processes is not known.
    'train_dataloader.sampler.type': ('DefaultSampler', ['InfiniteSampler', 'StreamSampler']),
    # It groups the images of each process.
    'train_dataloader.batch_sampler': (None, [None]),
    'train_dataloader.num_batch_per_epoch': (None, [None]),
    # It takes statistics over the processes.
    'sync_bn': (None, [None]),
}


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
    if not isinstance(counts, int) or counts < 1:
        raise UsageError(f'counts must be an integer >= 1, got {counts!r}')
    for reason in chain(_wrong_settings(cfg), _reasons_of_model(cfg)):
        raise UsageError(f'config {cfg.filename} cannot be accumulated exactly: {reason}')
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


def _wrong_settings(cfg: Config) -> Iterator[str]:
    for key, (default, allowed) in _IMITATED.items():
        value: Any = cfg
        for name in key.split('.'):
            value = value.get(name) if hasattr(value, 'get') else None  # Config is no Mapping
        value = default if value is None else value
        value = _name(value) if inspect.isclass(value) or isinstance(value, str) else value
        if value not in allowed:
            yield f'{key} must be {" or ".join(map(str, allowed))}, got {value}'
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in [schedulers] if isinstance(schedulers, Mapping) else schedulers:
        if scheduler.get('by_epoch', True):
            yield f'by_epoch of param_scheduler {_name(scheduler["type"])} must be False, got True'
    for hook in cfg.get('custom_hooks') or []:
        name = _name(hook['type'] if isinstance(hook, Mapping) else type(hook))
        if name not in _HARMLESS_HOOKS:
            yield f'custom hook {name} may act on every iteration; leave it out'


def _reasons_of_model(cfg: Config) -> Iterator[str]:
    # Not at the top: it takes seconds, and nothing else here needs it.
    from mmdet.registry import MODELS

    for kind in _types(cfg.model):
        name = _name(kind)
        if 'SyncBN' in name or 'SyncBatchNorm' in name:
            yield f'{name} takes statistics over the processes; set BN, GN or FRN'
        elif name.startswith('BatchSyncRandom'):
            yield f'{name} draws a size for all processes every few iterations; leave it out'
        else:
            cls = MODELS.get(kind) if isinstance(kind, str) else kind
            # The way MMDetection's parts mean a number over the processes is its reduce_mean.
            if inspect.isclass(cls) and any(
                hasattr(sys.modules.get(base.__module__), 'reduce_mean') for base in cls.__mro__
            ):
                yield f'the loss of {name} is normalised over the processes; use RetinaHead'


def _types(node: Any) -> Iterator[Any]:
    """Yield each ``type`` in a model's config."""
    if isinstance(node, Mapping):
        if 'type' in node:
            yield node['type']
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _types(item)


def _name(kind: Any) -> str:
    """Return the bare name of a class or of the string that stands for it in a config."""
    return getattr(kind, '__name__', str(kind)).rsplit('.', 1)[-1]
