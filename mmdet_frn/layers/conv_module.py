"""Teaches MMCV's ConvModule the protocol of :mod:`.norm_act`: channel counts and fused pairs.

``ConvModule(act_cfg=dict(type='TLU'))`` has to work wherever MMDetection builds a ConvModule, but
ConvModule builds its activation without a channel count, and every component imports that class by
name. Hence its ``__init__`` is wrapped once, in the one place that knows both the channels and the
order of conv, norm and act: the config is completed before anything is built. The alternatives are
worse. A lazy parameter does not exist when DDP, the optimizer and ``init_weights`` look for it. A
TLU without a count that a registration hook replaces later reports a missing count only in the
forward pass. A subclass reaches no component that imports ConvModule.
"""

from __future__ import annotations

import functools
import inspect

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from .norm_act import complete_act_cfg, contains_act, fuses, norm_act


def _wrap_init() -> None:
    original = ConvModule.__init__
    signature = inspect.signature(original)

    @functools.wraps(original)
    def init(self: ConvModule, *args, **kwargs) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        if given['act_cfg'] is not None:
            order = given['order']
            after_conv = order.index('act') > order.index('conv')
            channels = given['out_channels'] if after_conv else given['in_channels']
            given['act_cfg'] = complete_act_cfg(given['act_cfg'], channels)
        original(*bound.args, **bound.kwargs)
        if _act_follows_norm(self) and contains_act(self.norm):
            self.activate = nn.Identity()

    ConvModule.__init__ = init


def _wrap_forward() -> None:
    original = ConvModule.forward

    @functools.wraps(original)
    def forward(self: ConvModule, x: Tensor, activate: bool = True, norm: bool = True) -> Tensor:
        if not (activate and norm and _act_follows_norm(self) and fuses(self.norm, self.activate)):
            return original(self, x, activate, norm)
        if self.order[0] != 'conv':
            x = norm_act(x, self.norm, self.activate)
        x = original(self, x, activate=False, norm=False)
        if self.order[0] == 'conv':
            x = norm_act(x, self.norm, self.activate)
        return x

    ConvModule.forward = forward


def _act_follows_norm(module: ConvModule) -> bool:
    """Whether the module has an activation right after a norm."""
    order = module.order
    return (
        module.with_activation
        and module.with_norm
        and order.index('act') == order.index('norm') + 1
    )


_wrap_init()
_wrap_forward()
