"""Misspelt names in a config, found before anything is built; each error is one line."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mmengine import registry as root
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner

from .errors import UsageError

# Their types are functions and layers of MMCV's ops, or words that only the class above knows.
_UNREGISTERED = {'nms', 'roi_layer', 'clip_grad', 'dcn', 'layer_cfg', 'noise_cfg'}
_COCO_METRICS = ('bbox', 'segm', 'proposal', 'proposal_fast')
_SCOPES = ('mmdet', 'mmengine', 'mmcv')


def check_names(cfg: Config) -> None:
    """Raise for a type that no registry has, a key that its class does not take, and lengths of 0.

    Args:
        cfg: The config.

    Raises:
        UsageError: naming the key, the value and the nearest right one.
    """
    arguments = {*inspect.signature(Runner.__init__).parameters} - {'self', 'cfg'}
    for key in cfg:
        # A config may have variables of any name; one nearly that of an argument is a slip.
        near = difflib.get_close_matches(key, arguments, n=1, cutoff=0.88)
        if key not in arguments and near:
            raise UsageError(f'{key} is no key of a config; did you mean {near[0]}?')
    _check_values(cfg)
    known = _known_types()
    for key in arguments & set(cfg):
        for path, node in _typed(cfg[key], key):
            _check_node(path, node, known)


@functools.cache
def _known_types() -> dict[str, list]:
    """Return what each name stands for in the registries of MMEngine and MMDetection."""
    # Not at the top: it takes seconds.
    from mmdet import registry as detection
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    known: dict[str, list] = {}
    for found in {id(r): r for r in (*vars(root).values(), *vars(detection).values())}.values():
        if isinstance(found, Registry):
            found.import_from_location()
            for name, cls in found.module_dict.items():
                known.setdefault(name, []).append(cls)
    return known


def _check_values(cfg: Config) -> None:
    """Raise for numbers that MMEngine or PyTorch would refuse late, after files are written."""
    loop = cfg.get('train_cfg') or {}
    for key in ('max_iters', 'max_epochs', 'val_interval'):
        _check_integer(f'train_cfg.{key}', loop.get(key), 1)
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


def _check_integer(name: str, value: Any, least: int) -> None:
    if value is not None and (type(value) is not int or value < least):
        raise UsageError(f'{name} must be an integer >= {least}, got {value!r}')


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


def _typed(node: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    """Yield each mapping with a ``type``, and its path."""
    if isinstance(node, Mapping):
        if 'type' in node:
            yield path, node
        for key, item in node.items():
            if key not in _UNREGISTERED and not str(key).endswith('_trans'):
                yield from _typed(item, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for index, item in enumerate(node):
            yield from _typed(item, f'{path}.{index}')


def _check_node(path: str, node: Mapping, known: Mapping[str, list]) -> None:
    kind = node['type']
    if isinstance(kind, str):
        scope, _, name = kind.rpartition('.')
        if scope and scope not in _SCOPES:
            return  # of another package, or a path to import
        if name not in known:
            raise UsageError(f'{path}.type is {kind!r}, which no registry has{_hint(name, known)}')
        classes = known[name]
    else:
        classes = [kind]
    if len(classes) != 1 or not inspect.isclass(classes[0]):
        return
    takes, all_known = _parameters(classes[0])
    for key in node:
        if key == 'type' or str(key).startswith('_') or key in takes:
            continue
        near = difflib.get_close_matches(key, takes, n=1, cutoff=0.86)
        if near and all_known:
            raise UsageError(
                f'{path}.{key} is no setting of {classes[0].__name__}; did you mean {near[0]}?'
            )


def _parameters(cls: type) -> tuple[set[str], bool]:
    """Return the names that the class takes, through ``**kwargs`` of its bases, and if all."""
    names: set[str] = set()
    for base in cls.__mro__:
        if '__init__' not in vars(base) or base is object:
            continue
        parameters = inspect.signature(vars(base)['__init__']).parameters.values()
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names, True
    return names, False


def _hint(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean {near[0]!r}?' if near else ''
