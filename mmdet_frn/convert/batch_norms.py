"""What counts as batch normalization: PyTorch's, SyncBN, frozen ones, timm's with an activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parameter import is_lazy


@dataclass(frozen=True)
class BatchNorm:
    """A BN module and what it computes in evaluation mode; tensors are (C,).

    ``drop`` and ``act`` are those that timm's norm layers contain, None for others. ``trains`` says
    whether gamma and whether beta do.
    """

    module: nn.Module
    gamma: Tensor
    beta: Tensor
    mean: Tensor
    var: Tensor
    eps: float
    trains: tuple[bool, bool]
    drop: nn.Module | None
    act: nn.Module | None

    @property
    def channels(self) -> int:
        """C, the number of channels."""
        return self.mean.numel()

    @property
    def nu2(self) -> Tensor:
        """Mean square of the population, p = mean^2 + var + eps."""
        return self.mean.float().square() + self.var.float() + self.eps

    def explains(self, x: Tensor, out: Any) -> bool:
        """Whether ``out`` is what the BN makes of x in evaluation mode, activation included."""
        if not isinstance(out, Tensor):
            return False
        mean, var, gamma, beta = (t.float() for t in (self.mean, self.var, self.gamma, self.beta))
        expected = F.batch_norm(x.float(), mean, var, gamma, beta, eps=self.eps)
        for inside in (self.drop, self.act):
            expected = expected if inside is None else inside(expected)
        if expected.numel() == 0 or not expected.isfinite().all():
            return True  # nothing can be told
        half = torch.finfo(out.dtype).bits < 32
        largest = expected.abs().max().clamp(min=1e-6)
        return bool((out.float() - expected).abs().max() <= (0.05 if half else 1e-3) * largest)


def is_batch_norm(module: nn.Module) -> bool:
    """Whether a module is a BN, with running statistics or not; frozen ones are known by these."""
    if isinstance(module, _InstanceNorm):
        return False
    return isinstance(module, _BatchNorm) or (
        isinstance(getattr(module, 'running_mean', None), Tensor)
        and isinstance(getattr(module, 'running_var', None), Tensor)
        and isinstance(getattr(module, 'eps', None), float)
    )


def read_batch_norm(module: nn.Module) -> BatchNorm | str:
    """Read a BN module; return the reason where it cannot be converted.

    Raises:
        ValueError: it has no statistics yet, as a lazy one before its first input.
    """
    mean, var, eps = (getattr(module, name) for name in ('running_mean', 'running_var', 'eps'))
    if is_lazy(mean):
        raise ValueError('the model has lazy modules; run it once on an input, then convert it')
    if mean is None or var is None:
        return 'has no running statistics (track_running_stats=False)'
    if not (mean.isfinite().all() and var.isfinite().all() and (var >= 0).all()):
        return 'its running statistics are not finite, or a variance is below 0'
    gamma, beta = getattr(module, 'weight', None), getattr(module, 'bias', None)
    first, second = (not isinstance(t, Tensor) or t.requires_grad for t in (gamma, beta))
    gamma = torch.ones_like(mean) if gamma is None else gamma.detach()
    beta = torch.zeros_like(mean) if beta is None else beta.detach()
    children = dict(module.named_children())
    drop, act = children.pop('drop', None), children.pop('act', None)
    if children:
        return f'contains {", ".join(children)}, which no BN does'
    return BatchNorm(module, gamma, beta, mean, var, eps, (first, second), drop, act)
