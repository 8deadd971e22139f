"""What gradient accumulation in one process cannot imitate exactly, refused before it starts."""

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


def check_accumulable(cfg: Config, counts: int) -> None:
    """Raise unless a process with ``counts`` micro-batches a step can do as ``counts`` processes.

    Args:
        cfg: Config of the processes.
        counts: Processes that one is to imitate.

    Raises:
        UsageError: it cannot; the message names the part of the config and the remedy.
    """
    if not isinstance(counts, int) or counts < 1:
        raise UsageError(f'counts must be an integer of at least 1, but are {counts!r}')
    parts = (_reasons_of_loop, _reasons_of_optimizer, _reasons_of_hooks, _reasons_of_data)
    for reason in chain.from_iterable(part(cfg) for part in (*parts, _reasons_of_model)):
        raise UsageError(f'config {cfg.filename} cannot be accumulated exactly: {reason}')


def _reasons_of_loop(cfg: Config) -> Iterator[str]:
    loop = cfg.train_cfg
    if _name(loop.get('type', 'IterBasedTrainLoop')) != 'IterBasedTrainLoop' or (
        'max_iters' not in loop
    ):
        yield 'it counts epochs; train_cfg must be an IterBasedTrainLoop with max_iters'
    if loop.get('dynamic_intervals'):
        yield 'train_cfg.dynamic_intervals is not imitated; set a val_interval in its place'


def _reasons_of_hooks(cfg: Config) -> Iterator[str]:
    hooks = cfg.get('default_hooks') or {}
    if (hooks.get('checkpoint') or {}).get('by_epoch', True):
        yield 'default_hooks.checkpoint counts epochs; set by_epoch=False'
    stepping = (hooks.get('param_scheduler') or {}).get('type', 'ParamSchedulerHook')
    if _name(stepping) != 'ParamSchedulerHook':
        yield (
            f'default_hooks.param_scheduler is {_name(stepping)}, which would have to count '
            f'optimizer steps; leave it out'
        )
    for hook in cfg.get('custom_hooks') or []:
        name = _name(hook.get('type')) if isinstance(hook, Mapping) else _name(type(hook))
        if name not in _HARMLESS_HOOKS:
            yield f'custom hook {name} may act on every iteration; leave it out'


def _reasons_of_optimizer(cfg: Config) -> Iterator[str]:
    wrapper = cfg.optim_wrapper
    if _name(wrapper.get('type', 'OptimWrapper')) not in ('OptimWrapper', 'AmpOptimWrapper'):
        yield f'optim_wrapper.type is {_name(wrapper.type)}; set OptimWrapper or AmpOptimWrapper'
    if wrapper.get('accumulative_counts', 1) != 1:
        yield (
            f'optim_wrapper.accumulative_counts is {wrapper.accumulative_counts} already; '
            f'start from the config of the processes'
        )
    if (cfg.get('auto_scale_lr') or {}).get('enable'):
        yield (
            'auto_scale_lr would scale by the batch of a single process; set '
            'auto_scale_lr.enable=False and the scaled learning rate'
        )
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in [schedulers] if isinstance(schedulers, Mapping) else schedulers:
        if scheduler.get('by_epoch', True):
            name = _name(scheduler.get('type'))
            yield f'param_scheduler {name} counts epochs; set by_epoch=False'


def _reasons_of_data(cfg: Config) -> Iterator[str]:
    loader = cfg.train_dataloader
    sampler = loader.get('sampler') or {}
    if _name(sampler.get('type')) not in ('InfiniteSampler', 'StreamSampler'):
        yield (
            f'train_dataloader.sampler is {_name(sampler.get("type"))}, whose order over several '
            f'processes is not known; set InfiniteSampler or StreamSampler'
        )
    if loader.get('batch_sampler'):
        yield (
            f'train_dataloader.batch_sampler {_name(loader["batch_sampler"].get("type"))} groups '
            f'the images of each process; set train_dataloader.batch_sampler=None'
        )
    if loader.get('num_batch_per_epoch'):
        yield 'train_dataloader.num_batch_per_epoch depends on the processes; leave it out'


def _reasons_of_model(cfg: Config) -> Iterator[str]:
    if cfg.get('sync_bn'):
        yield 'sync_bn takes statistics over the processes; leave it out'
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
