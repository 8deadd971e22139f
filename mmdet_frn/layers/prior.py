"""A prior on the second moment of FRN: shrinks an image's towards the population's."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def prior_of(kappa: float) -> float:
    """Return lambda = kappa / (1 + kappa), 1 for an infinite kappa.

    Raises:
        ValueError: kappa is below 0 or no number.
    """
    if not kappa >= 0:
        raise ValueError(f'kappa must be >= 0, got {kappa}')
    return 1.0 if math.isinf(kappa) else kappa / (1 + kappa)


def _check(prior: float, learnable: bool) -> None:
    if not 0 <= prior <= 1:
        raise ValueError(f'prior must be in [0, 1], got {prior}')
    if learnable and not 0 < prior < 1:
        raise ValueError(f'prior must be > 0 and < 1 to be learned, got {prior}')


class Prior(nn.Module):
    """lambda * p + (1 - lambda) * nu2 in place of nu2, with p the mean square of the population.

    With kappa = lambda / (1 - lambda) this is FRN with kappa * p added to eps and weight times
    sqrt(1 + kappa), so the same op computes it. lambda = 0 is FRN; lambda = 1 is a BN in evaluation
    mode, computed with a kappa of 2^60, beside which nu2 vanishes in rounding.

    Buffers are ``nu2``, p of (C,), ones until it is set, and ``value``, lambda of (), in fp32 at
    least.

    Args:
        num_features: Channels C.
        prior: lambda in [0, 1].
        learnable: Learn lambda per channel as sigmoid(``logit``), from ``prior`` on; there is no
            ``value`` then. Default False.

    Raises:
        ValueError: prior is out of range.
    """

    # A prior of 1 is computed with this kappa: nu2 is then lost beside kappa * p, in fp64 too.
    max_kappa = 2.0**60
    __constants__ = ('max_kappa',)  # torch.jit.script reads no variable of the module

    def __init__(self, num_features: int, prior: float, learnable: bool = False) -> None:
        super().__init__()
        _check(prior, learnable)
        self.initial = float(prior)
        self.nu2: Tensor  # not in the class, where torch.jit.script reads annotations
        self.value: Tensor
        self.register_buffer('nu2', torch.empty(num_features))
        self.register_buffer('value', None if learnable else torch.empty(()))
        self.logit = nn.Parameter(torch.empty(num_features)) if learnable else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set p to ones and lambda to its initial value."""
        nn.init.ones_(self.nu2)
        if self.logit is None:
            nn.init.constant_(self.value, self.initial)
        else:
            nn.init.constant_(self.logit, math.log(self.initial / (1 - self.initial)))

    def _apply(self, fn: Callable, recurse: bool = True) -> Prior:
        """Keep the buffers in at least fp32: half precision overflows where a mean is 256."""
        wide = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, value in self.named_buffers():
            if torch.finfo(value.dtype).bits < 32:
                setattr(self, name, wide[name].to(value.device))
        return self

    def set(self, prior: float) -> None:
        """Set lambda, in [0, 1], where it is not learned.

        Raises:
            ValueError: prior is out of range, or lambda is learned.
        """
        _check(prior, learnable=False)
        if self.logit is not None:
            raise ValueError(f'prior cannot be set to {prior}: it is learned (learnable_prior)')
        self.value.fill_(prior)

    def kappa(self) -> Tensor:
        """Return lambda / (1 - lambda), () or (C,), in at least fp32; at most 2^60."""
        given = self.value if self.logit is None else self.logit
        given = given.to(torch.promote_types(given.dtype, torch.float32))
        if self.logit is not None:
            return given.exp().clamp(max=self.max_kappa)
        return given / (1 - given).clamp(min=1 / self.max_kappa)

    def forward(self, weight: Tensor, eps: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the weight and eps of the op, (C,), in at least fp32."""
        kappa = self.kappa()
        # fp32, where half precision would overflow long before lambda is 1.
        weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
        weight = weight * (1 + kappa).sqrt()
        added = kappa * self.nu2.to(kappa.dtype)
        if isinstance(eps, Tensor):  # torch.jit.script adds no float | Tensor
            return weight, added.add(eps)
        return weight, added.add(eps)

    def extra_repr(self) -> str:
        """Return the arguments for ``print``."""
        return f'prior={self.initial:g}, learnable={self.logit is not None}'
