"""The paper's Affine-TLU (Table 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdet_frn.ops import affine_tlu
from mmdet_frn.registry import ACTIVATION_LAYERS


@ACTIVATION_LAYERS.register_module()
class AffineTLU(nn.Module):
    """max(x, kappa * x + tau) with learned kappa and tau per channel, "PReLU and TLU combined".

    Source: Singh and Krishnan 2020, Table 5, which gives no initial values. At a tie the gradient
    goes to x.

    Args:
        num_features: Channels C; ConvModule and the models of mmdet_frn fill it in.
        kappa: Initial value of kappa. Default 0.25, PReLU's (He et al. 2015).
        init: Initial value of tau. Default 0.
        inplace: Accepted because ConvModule passes it; without effect.
    """

    def __init__(
        self, num_features: int, kappa: float = 0.25, init: float = 0.0, inplace: bool = False
    ) -> None:
        super().__init__()
        self.kappa = nn.Parameter(torch.full((num_features,), kappa))
        self.tau = nn.Parameter(torch.full((num_features,), init))

    def forward(self, x: Tensor) -> Tensor:
        """Return max(x, kappa * x + tau) for x (N, C, *)."""
        return affine_tlu(x, self.kappa, self.tau)
