"""A weight and a bias per channel, in place of a BN whose maps are 1x1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


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
        found: list[Any] = [state_dict.get(prefix + name) for name in names]
        if all(t is not None and t.shape == self.weight.shape for t in found):
            gamma, beta, mean, var = found
            self.load_batch_norm(gamma, beta, mean, var, self.batch_norm_eps)
            for name in (*names, 'num_batches_tracked'):
                state_dict.pop(prefix + name, None)
            state_dict[f'{prefix}weight'] = self.weight.detach().clone()
            state_dict[f'{prefix}bias'] = self.bias.detach().clone()
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Return the arguments for ``print``."""
        return str(self.num_features)
