"""Says what a config left behind: BN and ReLU beside FRN, FRN that does not train, names of BN.

Replacing every ``norm_cfg`` and ``act_cfg`` that a config names reaches neither the norms and
activations that a component hard-codes nor a component that takes no such argument. Detectors come
out of MODELS.build, whatever tool builds them, so that is where they are looked at, once.
"""

from __future__ import annotations

import functools
import re
import threading
import warnings
from collections.abc import Callable
from typing import Any

from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn

from mmdet_frn.layers import FRN

from .batch_norms import is_batch_norm
from .report import some


class MixedLayers(UserWarning):
    """A model has other norms, ReLU or frozen FRN beside its FRN layers."""


def leftovers(model: nn.Module) -> str:
    """Say what FRN and TLU do not replace in a model that has FRN; '' where there is nothing."""
    modules = dict(model.named_modules())
    frn = {name: m for name, m in modules.items() if isinstance(m, FRN)}
    if not frn:
        return ''
    found = []
    for what, test in (
        ('BN', is_batch_norm),
        ('ReLU', lambda m: type(m) is nn.ReLU),
    ):
        names = [name for name, m in modules.items() if test(m)]
        if names:
            found.append(f'{len(names)} {what} ({some(names)})')
    lines = []
    if found:
        lines.append(
            f'the model has FRN and {" and ".join(found)}; set them in the config, or convert all '
            f"of it with model=dict(type='Converted', detector='{type(model).__name__}')"
        )
    frozen = [
        n for n, m in frn.items() if not m.weight.requires_grad and _siblings_train(modules, n)
    ]
    if frozen:
        lines.append(
            f'{len(frozen)} of {len(frn)} FRN do not train although their convolutions do '
            f'({some(frozen)}); if norm_cfg inherits requires_grad=False from _base_, write '
            f"norm_cfg=dict(_delete_=True, type='FRN')"
        )
    return '; '.join(lines)


def _siblings_train(modules: dict[str, nn.Module], name: str) -> bool:
    """Whether a weight beside a norm trains: a frozen stage has none that does."""
    parent = modules[name.rpartition('.')[0]]
    beside = [m for m in parent.children() if isinstance(m, nn.modules.conv._ConvNd)]
    return any(m.weight.requires_grad for m in beside)


def take_over_batch_norm_names(model: nn.Module) -> None:
    """Let every FRN that MMCV named 'frn1' load what a BN checkpoint calls 'bn1'."""
    for parent in model.modules():
        names = [n for n, m in parent._modules.items() if isinstance(m, FRN) and n[:3] == 'frn']
        for name in names:
            hook = functools.partial(_rename, name=name)
            parent._register_load_state_dict_pre_hook(hook)


def _rename(state_dict: dict, prefix: str, *args: Any, name: str) -> None:
    own, bn = f'{prefix}{name}.', f'{prefix}{re.sub("^frn", "bn", name)}.'
    if f'{own}weight' in state_dict or f'{bn}running_mean' not in state_dict:
        return
    for key in [key for key in state_dict if key.startswith(bn)]:
        state_dict[own + key.removeprefix(bn)] = state_dict.pop(key)


_building = threading.local()


def _looked_at(build: Callable) -> Callable:
    """Wrap a registry's build function; only the outermost model is looked at."""

    @functools.wraps(build)
    def wrapped(cfg: Any, *args: Any, **kwargs: Any) -> Any:
        outermost = not getattr(_building, 'now', False)
        _building.now = True
        try:
            model = build(cfg, *args, **kwargs)
        finally:
            if outermost:
                _building.now = False
        if outermost and isinstance(model, BaseModel):
            take_over_batch_norm_names(model)
            # A conversion reports what it leaves.
            text = '' if hasattr(model, 'conversion') else leftovers(model)
            if text:
                warnings.warn(text, MixedLayers, stacklevel=3)
        return model

    return wrapped


for _registry in (MODELS, MMDET_MODELS):
    _registry.build_func = _looked_at(_registry.build_func)
