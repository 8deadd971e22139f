"""Values in a config that MMEngine or PyTorch would refuse late, after files are written."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from typing import Any

from mmengine import registry as root
from mmengine.config import Config

from .errors import UsageError

_COCO_METRICS = ('bbox', 'segm', 'proposal', 'proposal_fast')
_LEVELS = ('CRITICAL', 'FATAL', 'ERROR', 'WARNING', 'WARN', 'INFO', 'DEBUG', 'NOTSET')


def check_values(cfg: Config) -> None:
    """Raise for lengths of 0, rates that are no numbers and words that MMEngine does not know.

    Args:
        cfg: The config.

    Raises:
        UsageError: naming the key, the value and what it must be.
    """
    loop = cfg.get('train_cfg') or {}
    for key in ('max_iters', 'max_epochs'):
        _check_integer(f'train_cfg.{key}', loop.get(key), 1)
    interval = loop.get('val_interval')
    if not (isinstance(interval, float) and interval.is_integer() and interval >= 1):
        _check_integer('train_cfg.val_interval', interval, 1)  # MMEngine takes 500.0 too
    seed = (cfg.get('randomness') or {}).get('seed')
    _check_integer('randomness.seed', seed, 0, 2**32 - 1)
    _check_word('log_level', cfg.get('log_level'), _LEVELS)
    _check_word('default_scope', cfg.get('default_scope'), ['mmengine', *root.MODELS.children])
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        _check_integer(f'{split}_dataloader.batch_size', loader.get('batch_size'), 1)
        _check_integer(f'{split}_dataloader.num_workers', loader.get('num_workers'), 0)
        _check_metrics(f'{split}_evaluator', cfg.get(f'{split}_evaluator'))
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    for key in ('lr', 'weight_decay'):
        value = optimizer.get(key)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (number and 0 <= value < math.inf):
            name = f'optim_wrapper.optimizer.{key}'
            raise UsageError(f'{name} must be a finite number >= 0, got {value!r}')


def _check_integer(name: str, value: Any, least: int, most: int = 2**31 - 1) -> None:
    if value is None or (type(value) is int and least <= value <= most):
        return
    limit = f'>= {least}' if type(value) is not int or value < least else f'<= {most}'
    raise UsageError(f'{name} must be an integer {limit}, got {value!r}')


def _check_word(name: str, value: Any, known: Collection[str]) -> None:
    if isinstance(value, str) and value not in known:
        near = difflib.get_close_matches(value, known, n=1, cutoff=0.0)
        raise UsageError(f'{name} is {value!r}, which is unknown; did you mean {near[0]!r}?')


def _check_metrics(name: str, evaluator: Any) -> None:
    for metric in evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]:
        if not isinstance(metric, Mapping):
            continue
        if str(metric.get('type')).rpartition('.')[2] != 'CocoMetric':
            continue
        asked = metric.get('metric', 'bbox')
        for word in asked if isinstance(asked, (list, tuple)) else [asked]:
            if word not in _COCO_METRICS:
                raise UsageError(
                    f'{name}.metric must be of {", ".join(_COCO_METRICS)}, got {word!r}'
                )
