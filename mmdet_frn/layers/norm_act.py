"""Normalisation and activation as one step, so that FRN and TLU can run as one op."""

from __future__ import annotations

import inspect

from mmcv.cnn import build_activation_layer
from torch import Tensor, nn

from mmdet_frn.registry import ACTIVATION_LAYERS

from .frn import FRN
from .tlu import TLU


def _layer_of(act_cfg: dict) -> type | None:
    """Class that ``act_cfg`` names, None where the registry has none of that name."""
    act_type = act_cfg['type']
    return act_type if inspect.isclass(act_type) else ACTIVATION_LAYERS.get(act_type)


def complete_act_cfg(act_cfg: dict, num_features: int) -> dict:
    """Copy of ``act_cfg`` that names ``num_features`` if its type is a TLU and it does not yet."""
    layer = _layer_of(act_cfg)
    if inspect.isclass(layer) and issubclass(layer, TLU):
        return {'num_features': num_features, **act_cfg}
    return dict(act_cfg)


def build_activation(act_cfg: dict, num_features: int) -> nn.Module:
    """Build the activation for ``num_features`` channels, in place where its class can be.

    Args:
        act_cfg: Config of the activation, as for MMCV's ``build_activation_layer``.
        num_features: Channels of the map that it is applied to.
    """
    act_cfg = complete_act_cfg(act_cfg, num_features)
    layer = _layer_of(act_cfg)
    if layer is not None and 'inplace' in inspect.signature(layer).parameters:
        act_cfg.setdefault('inplace', True)
    return build_activation_layer(act_cfg)


def norm_act(x: Tensor, norm: nn.Module, act: nn.Module, residual: Tensor | None = None) -> Tensor:
    """Return act(norm(x) [+ residual]); one op for FRN with TLU.

    Args:
        x: (N, C, *).
        norm: Any normalisation.
        act: Any activation. Forward hooks of a TLU do not fire where FRN applies its tau.
        residual: Like x. Default None.
    """
    if isinstance(norm, FRN) and isinstance(act, TLU):
        return norm(x, tau=act.tau, residual=residual)
    x = norm(x)
    if residual is not None:
        x += residual
    return act(x)
