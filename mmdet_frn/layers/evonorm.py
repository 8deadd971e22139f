"""EvoNorm-S0, S0a and B0: norms that contain their activation (Liu et al., NeurIPS 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdet_frn.ops import evonorm_s0
from mmdet_frn.registry import NORM_LAYERS

from .affine_norm import AffineNorm, check_groups
from .wide import affine, per_channel, widen


class _EvoNorm(AffineNorm):
    """What all share: v (C,), ones at first, which exists as long as the activation does.

    Args:
        num_features: Channels C.
        eps: Added to each variance.
        apply_act: With the activation. Without it only weight * x + bias is left, as in the
            authors' code after a block's last convolution. Default True.
    """

    def __init__(self, num_features: int, eps: float, apply_act: bool) -> None:
        super().__init__(num_features, eps)
        self.apply_act = apply_act
        self.v = nn.Parameter(torch.ones(num_features)) if apply_act else None

    def remove_act(self) -> None:
        """Keep weight * x + bias alone: the activation comes after a sum."""
        self.apply_act = False
        self.v = None

    def without_act(self, x: Tensor) -> Tensor:
        """Return weight * x + bias."""
        return affine(widen(x), self.weight, self.bias, x.dtype)


@NORM_LAYERS.register_module()
class EvoNormS0(_EvoNorm):
    """x * sigmoid(v * x) / sqrt(var + eps) * weight + bias, var over a group's channels, H and W.

    Source: Liu et al. 2020, Table 2. The variance is the population's, as in TensorFlow.

    Args:
        num_features: Channels C.
        num_groups: Groups of neighbouring channels. Default 32, the paper's.
        eps: Default 1e-5, the paper's.
        apply_act: With the activation. Default True.

    Raises:
        ValueError: num_groups does not divide num_features.
    """

    _abbr_ = 'evos0'

    def __init__(
        self, num_features: int, num_groups: int = 32, eps: float = 1e-5, apply_act: bool = True
    ) -> None:
        super().__init__(num_features, eps, apply_act)
        self.num_groups = check_groups(num_groups, num_features)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate x (N, C, *)."""
        if not self.apply_act:
            return self.without_act(x)
        return evonorm_s0(x, self.num_groups, self.weight, self.bias, self.v, self.eps)


@NORM_LAYERS.register_module()
class EvoNormS0a(EvoNormS0):
    """EvoNormS0 that divides by the group's deviation without its activation too.

    In the authors' code the norm before a residual sum is weight * x + bias alone; here it is
    weight * x / sqrt(var + eps) + bias. With the activation it is EvoNormS0. Source: timm, which
    ships it as ``EvoNorm2dS0a``.

    Args:
        num_features: Channels C.
        num_groups: Groups of neighbouring channels. Default 32, the paper's.
        eps: Default 1e-5, the paper's; timm's is 1e-3.
        apply_act: With the activation. Default True.

    Raises:
        ValueError: num_groups does not divide num_features.
    """

    _abbr_ = 'evos0a'

    def without_act(self, x: Tensor) -> Tensor:
        """Return weight * x / std + bias."""
        return evonorm_s0(x, self.num_groups, self.weight, self.bias, eps=self.eps)


@NORM_LAYERS.register_module()
class EvoNormB0(_EvoNorm):
    """x / max(sqrt(var_batch + eps), v * x + sqrt(var_instance + eps)) * weight + bias.

    var_batch is over N, H, W in training and a running average in evaluation, var_instance over H
    and W. Source: Liu et al. 2020, Table 2.

    Args:
        num_features: Channels C.
        eps: Default 1e-5, the paper's.
        momentum: Share of the new batch in the running variance. Default 0.1, as BN's.
        apply_act: With the activation. Default True.
    """

    _abbr_ = 'evob0'
    running_var: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        apply_act: bool = True,
    ) -> None:
        super().__init__(num_features, eps, apply_act)
        self.momentum = momentum
        self.register_buffer('running_var', torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate x (N, C, H, W)."""
        if self.v is None:
            return self.without_act(x)
        return affine(self.normalize(widen(x), self.v), self.weight, self.bias, x.dtype)

    def normalize(self, x: Tensor, v: Tensor) -> Tensor:
        """Return x over the larger of the batch's and the shifted instance's deviation."""
        if self.training:
            var = x.var((0, 2, 3), unbiased=False)
            count = x.numel() // x.shape[1]
            with torch.no_grad():
                unbiased = var * (count / max(count - 1, 1))
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        else:
            var = self.running_var
        batch = per_channel(var + self.eps, x).sqrt()
        instance = (x.var((2, 3), unbiased=False, keepdim=True) + self.eps).sqrt()
        return x / torch.maximum(batch, per_channel(v, x) * x + instance)
