"""Normalisation and activation as one step: the protocol that every pair of layers fits.

Any module can be a norm. A norm class may offer, beside ``forward(x)``:

- ``fuses(act) -> bool`` and ``forward_act(x, act, residual=None)``: it computes
  act(norm(x) [+ residual]) in one op for the activations that it accepts, as FRN does for TLU.
- ``apply_act: bool`` and ``remove_act()``: its ``forward`` contains an activation, as EvoNorm's
  does, until ``remove_act()`` takes it (and its parameters) away. :func:`build_act` calls it where
  a residual is added before the activation.

PyTorch's GroupNorm and InstanceNorm2d, which offer neither, are fused by :mod:`.group_norm`.

An activation that takes ``num_features`` gets the channel count from the module that builds it.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

from mmcv.cnn import build_activation_layer
from torch import Tensor, nn

from mmdet_frn.registry import ACTIVATION_LAYERS

from . import group_norm


def _arguments_of(act_cfg: dict) -> set[str]:
    """Names of the arguments of the class that ``act_cfg`` names; empty if it is not registered."""
    act_type = act_cfg['type']
    layer = act_type if inspect.isclass(act_type) else ACTIVATION_LAYERS.get(act_type)
    return set() if layer is None else set(inspect.signature(layer).parameters)


def complete_act_cfg(act_cfg: dict, num_features: int) -> dict:
    """Copy of ``act_cfg`` with ``num_features`` added if its class takes one and it has none."""
    if 'num_features' in _arguments_of(act_cfg):
        return {'num_features': num_features, **act_cfg}
    return dict(act_cfg)


def build_activation(act_cfg: dict, num_features: int) -> nn.Module:
    """Build the activation for ``num_features`` channels, in place where its class can be.

    Args:
        act_cfg: Config of the activation, as for MMCV's ``build_activation_layer``.
        num_features: Channels of the feature map that it is applied to.
    """
    act_cfg = complete_act_cfg(act_cfg, num_features)
    if 'inplace' in _arguments_of(act_cfg):
        act_cfg.setdefault('inplace', True)
    return build_activation_layer(act_cfg)


def contains_act(norm: nn.Module) -> bool:
    """Return whether ``norm(x)`` ends in an activation of its own."""
    return getattr(norm, 'apply_act', False)


def build_act(
    act_cfg: dict, num_features: int, norm: nn.Module, *, residual: bool = False
) -> nn.Module:
    """Build the activation that follows ``norm``, so that the two make one :func:`norm_act`.

    A norm that contains an activation keeps it, and the result is the identity, unless a residual
    is added in between: then the norm loses its own and ``act_cfg`` decides.

    Args:
        act_cfg: See :func:`build_activation`.
        num_features: Channels.
        norm: The norm before it.
        residual: Whether a residual is added before the activation. Default False.
    """
    if contains_act(norm):
        if not residual:
            return nn.Identity()
        cast(Any, norm).remove_act()
    return build_activation(act_cfg, num_features)


def fuses(norm: nn.Module, act: nn.Module) -> bool:
    """Return whether ``norm`` computes itself and ``act`` in one op."""
    own = getattr(norm, 'fuses', None)
    return group_norm.fuses(norm, act) if own is None else own(act)


def norm_act(x: Tensor, norm: nn.Module, act: nn.Module, residual: Tensor | None = None) -> Tensor:
    """Return act(norm(x) [+ residual]); one op where the norm fuses the activation.

    Args:
        x: (N, C, *).
        norm: Any normalisation.
        act: Any activation. Its forward hooks do not fire where it is fused.
        residual: Like x. Default None.
    """
    own: Any = norm
    if hasattr(norm, 'fuses'):
        if own.fuses(act):
            return own.forward_act(x, act, residual)
    elif group_norm.fuses(norm, act):
        out = group_norm.forward_act(x, norm, act, residual)
        if out is not None:
            return out
    x = norm(x)
    if residual is not None:
        x += residual
    return act(x)
