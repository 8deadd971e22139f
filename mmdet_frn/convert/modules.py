"""The modules that a conversion puts into a model beside FRN and TLU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmdet_frn.layers import TLU, norm_act


class ChannelAffine(nn.Module):
    """weight * x + bias per channel, (N, C, *): what a BN is in evaluation mode.

    For norms whose maps are 1x1, as after global pooling, where FRN would leave only the sign.

    A BN's entries in a state dict are converted as they are loaded.

    Args:
        num_features: Channels C.
        batch_norm_eps: eps of the BN. Default 1e-5.
    """

    def __init__(self, num_features: int, batch_norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features = num_features
        self.batch_norm_eps = batch_norm_eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return weight * x + bias in x's dtype."""
        shape = (1, -1, *[1] * (x.dim() - 2))
        return (self.weight.reshape(shape) * x + self.bias.reshape(shape)).to(x.dtype)

    def load_batch_norm(
        self, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
    ) -> None:
        """Become a BN in evaluation mode."""
        weight = gamma.double() / (var.double() + eps).sqrt()
        self.weight.data.copy_(weight)
        self.bias.data.copy_(beta - weight * mean)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Load the layer's entries, or convert a BN's."""
        names = ('weight', 'bias', 'running_mean', 'running_var')
        found = [state_dict.get(prefix + name) for name in names]
        if all(t is not None and t.shape == self.weight.shape for t in found):
            self.load_batch_norm(*found, self.batch_norm_eps)
            for name in (*names, 'num_batches_tracked'):
                state_dict.pop(prefix + name, None)
            state_dict[f'{prefix}weight'] = self.weight.detach().clone()
            state_dict[f'{prefix}bias'] = self.bias.detach().clone()
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Return the arguments for ``print``."""
        return str(self.num_features)


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
        tlus: A TLU for each width.
    """

    def __init__(self, tlus: list[TLU]) -> None:
        super().__init__()
        self.tlus = nn.ModuleDict({str(tlu.num_features): tlu for tlu in tlus})

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
