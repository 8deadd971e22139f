"""The modules that a conversion puts into a model beside FRN and TLU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmdet_frn.layers import norm_act


class NormAct(nn.Module):
    """A norm with dropout and activation, in place of timm's norm layers that contain these.

    Args:
        norm: The norm.
        drop: timm's drop layer, usually an identity.
        act: Activation.
    """

    def __init__(self, norm: nn.Module, drop: nn.Module | None, act: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.drop = drop or nn.Identity()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Return act(drop(norm(x))) for x of (N, C, *); one op for FRN with TLU."""
        if isinstance(self.drop, nn.Identity):
            return norm_act(x, self.norm, self.act)
        return self.act(self.drop(self.norm(x)))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Hand a BN's entries to the norm."""
        if f'{prefix}running_mean' in state_dict:
            for name in ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'):
                if f'{prefix}{name}' in state_dict:
                    state_dict[f'{prefix}norm.{name}'] = state_dict.pop(prefix + name)
        super()._load_from_state_dict(state_dict, prefix, *args)


class TLUByWidth(nn.Module):
    """A TLU for each number of channels, in place of one ReLU module that several widths share.

    Args:
        tlus: A TLU for each width, by it.
    """

    def __init__(self, tlus: Mapping[int, nn.Module]) -> None:
        super().__init__()
        self.tlus = nn.ModuleDict({str(width): tlu for width, tlu in tlus.items()})

    def forward(self, y: Tensor) -> Tensor:
        """Return max(y, tau) for y of (N, C, *) with the tau for C.

        Raises:
            ValueError: no TLU has C channels.
        """
        width = str(y.shape[1])
        if width not in self.tlus:
            raise ValueError(
                f'no TLU for {width} channels, only for {", ".join(self.tlus)}: convert the model '
                f'with inputs that reach every place'
            )
        return self.tlus[width](y)
