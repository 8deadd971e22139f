"""Misspelt names in a config, found before anything is built; each error is one line."""

from __future__ import annotations

import difflib
import functools
import inspect
import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from mmengine import registry as root
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from .check_values import check_values
from .errors import UsageError

# Their types are functions and layers of MMCV's ops, or words that only the class above knows.
_UNREGISTERED = {
    *('nms', 'roi_layer', 'clip_grad', 'dcn', 'layer_cfg', 'noise_cfg', 'dqs_cfg', 'adapt_cfg'),
}
_SCOPES = ('mmdet', 'mmengine', 'mmcv')
# Read by MMEngine's and MMCV's builders, which pass on the rest.
_TAKEN_BY_BUILDERS = {
    *('type', 'requires_grad', 'paramwise_cfg', 'constructor', 'priority', 'by_epoch'),
    'convert_to_iter_based',
}
# What these build gets all keys of its dict.
_BUILT_AS_IT_IS = re.compile(
    r'(norm_cfg|act_cfg|optimizer|sampler)$|^(optim_wrapper|(train|val|test)_cfg)$|'
    r'^(custom_hooks|default_hooks|param_scheduler)\.|_dataloader\.dataset\.pipeline\.\d+$'
)
_DATALOADER = {*inspect.signature(DataLoader.__init__).parameters, 'num_batch_per_epoch'}
_DEFAULT_HOOKS = {
    *('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint'),
    'visualization',
}
_CLIP_GRAD = {
    *('type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value'),
    *('clip_factor', 'eps'),  # AGC's
}
_PARAMWISE = {
    *('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult'),
    *('dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate'),
}


def check_names(cfg: Config) -> None:
    """Raise for a type that no registry has, a key that its class does not take and wrong values.

    Args:
        cfg: The config.

    Raises:
        UsageError: naming the key, the value and the nearest right one.
    """
    arguments = _arguments(Runner.__init__)
    for key in cfg:
        # A config may have variables of any name; one nearly that of an argument is a slip.
        near = difflib.get_close_matches(key, arguments, n=1, cutoff=0.88)
        if key not in arguments and near:
            raise UsageError(f'{key} is no key of a config; did you mean {near[0]}?')
    known = _known_types()
    check_values(cfg)
    _check_untyped(cfg, known)
    for key in arguments & set(cfg):
        for path, node in _nodes(cfg[key], key):
            if 'type' in node:
                _check_typed(path, node, known)
            else:
                _check_twins(path, node)


def _check_untyped(cfg: Config, known: Mapping[str, list]) -> None:
    """Check the keys of what MMEngine passes on to a function, and of what a hook is called."""
    for split in ('train', 'val', 'test'):
        _check_keys(cfg, f'{split}_dataloader', _DATALOADER)
    _check_keys(cfg, 'randomness', _arguments(Runner.set_randomness))
    _check_keys(cfg, 'optim_wrapper.clip_grad', _CLIP_GRAD)
    _check_keys(cfg, 'default_hooks', _DEFAULT_HOOKS, 0.86)
    _check_keys(cfg, 'optim_wrapper.paramwise_cfg', _PARAMWISE, 0.86)
    constructor = (cfg.get('optim_wrapper') or {}).get('constructor')
    if isinstance(constructor, str):
        _check_type('optim_wrapper.constructor', constructor, known)
    for index, hook in enumerate(cfg.get('custom_hooks') or []):
        if isinstance(hook, str):
            raise UsageError(f'custom_hooks.{index} must be a dict with a type, got {hook!r}')


def _check_keys(cfg: Config, path: str, takes: Collection[str], cutoff: float = 0.0) -> None:
    """Raise for a key that is not among ``takes`` but nearer to one of them than ``cutoff``."""
    node = cfg
    for part in path.split('.'):
        node = node.get(part) or {}
        if not isinstance(node, Mapping):
            return
    for key in {*node} - {*takes}:
        near = difflib.get_close_matches(str(key), takes, n=1, cutoff=cutoff)
        if near:
            raise UsageError(f'{path}.{key} is no setting; did you mean {near[0]}?')


def _arguments(function: Callable) -> set[str]:
    return {*inspect.signature(function).parameters} - {'self', 'cfg'}


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


def _nodes(node: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    """Yield each mapping and its path."""
    if isinstance(node, Mapping):
        yield path, node
        # What is in it belongs to another package.
        for key, item in node.items() if node.get('type') != 'Albu' else ():
            if key not in _UNREGISTERED and not str(key).endswith('_trans'):
                yield from _nodes(item, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for index, item in enumerate(node):
            yield from _nodes(item, f'{path}.{index}')


def _check_twins(path: str, node: Mapping) -> None:
    """Raise for a key nearly that of its neighbour: one inherited, the other a slip."""
    if path.endswith('.custom_keys'):
        return
    for key, other in itertools.combinations(map(str, node), 2):
        if difflib.get_close_matches(key, [other], cutoff=0.92):
            raise UsageError(f'{path} has both {key} and {other}; remove the one that is a slip')


def _check_typed(path: str, node: Mapping, known: Mapping[str, list]) -> None:
    classes = _check_type(path, node['type'], known)
    if not classes or not all(map(inspect.isclass, classes)):
        return
    # Of a name, MMCV and MMDetection may each have one.
    found = [_parameters(cls) for cls in classes]
    takes = {'type'}.union(*(names for names, _ in found))
    all_known = all(known for _, known in found)
    # Elsewhere the component above may take out what its own code reads.
    direct = _BUILT_AS_IT_IS.search(path)
    for key in node:
        if key in _TAKEN_BY_BUILDERS or str(key).startswith('_') or key in takes:
            continue
        near = difflib.get_close_matches(key, takes, n=1, cutoff=0.7 if direct else 0.86)
        if near:
            hint = f'did you mean {near[0]}?'
        elif direct and all_known:
            some = ', '.join(sorted(takes - {'type'})[:12]) or 'nothing'
            hint = f'it takes {some}; if the key is inherited from _base_, add _delete_=True'
        else:
            continue
        raise UsageError(f'{path}.{key} is no setting of {classes[0].__name__}; {hint}')


def _check_type(path: str, kind: Any, known: Mapping[str, list]) -> list:
    """Return what a type stands for, nothing where another package has it."""
    if kind is None:
        raise UsageError(f'{path}.type is None; name what to build')
    if not isinstance(kind, str):
        return [kind]
    scope, _, name = kind.rpartition('.')
    if scope and scope not in _SCOPES:
        return []  # of another package, or a path to import
    if name not in known:
        where = path if path.endswith('.constructor') else f'{path}.type'
        raise UsageError(f'{where} is {kind!r}, which no registry has{_hint(name, known)}')
    return known[name]


@functools.cache
def _parameters(cls: type) -> tuple[frozenset[str], bool]:
    """Return the names that the class takes, through ``**kwargs`` of its bases, and if all."""
    names: set[str] = set()
    for base in cls.__mro__:
        if '__init__' not in vars(base) or base is object:
            continue
        parameters = [*inspect.signature(vars(base)['__init__']).parameters.values()][1:]
        names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        # FRN refuses what it gets as others, with a hint.
        taken = {p.name for p in parameters if p.kind is p.VAR_KEYWORD} - {'others'}
        if not taken:
            return frozenset(names), True
    return frozenset(names), False


def _hint(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean {near[0]!r}?' if near else ''
