"""Adaptive gradient clipping as an optimiser wrapper (Brock et al., ICML 2021)."""

from __future__ import annotations

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor


def unit_norms(x: Tensor) -> Tensor:
    """Norm of each output unit's part of a weight (out, ...); of the whole for up to one axis."""
    if x.dim() < 2:
        return torch.linalg.vector_norm(x)
    return torch.linalg.vector_norm(x, dim=tuple(range(1, x.dim())), keepdim=True)


class _AdaptiveClipping(OptimWrapper):
    """Replaces the clipping of MMEngine's wrappers."""

    def __init__(self, clip_grad: dict | None = None, **kwargs) -> None:
        settings = {'clip_factor': 0.01, 'eps': 1e-3, **(clip_grad or {})}
        if settings.keys() != {'clip_factor', 'eps'} or min(settings.values()) <= 0:
            raise ValueError(
                f'clip_grad of {type(self).__name__} must be dict(clip_factor=..., eps=...) with '
                f'values > 0, got {clip_grad}; add _delete_=True to replace that of a base config'
            )
        super().__init__(clip_grad=settings, **kwargs)

    @torch.no_grad()
    def _clip_grad(self) -> None:
        factor, eps = self.clip_grad_kwargs['clip_factor'], self.clip_grad_kwargs['eps']
        for group in self.optimizer.param_groups:
            if not group.get('agc', True):
                continue
            for param in group['params']:
                if param.grad is not None:
                    most = factor * unit_norms(param).clamp(min=eps)
                    param.grad.mul_((most / unit_norms(param.grad)).clamp(max=1.0))


@OPTIM_WRAPPERS.register_module()
class AGCOptimWrapper(_AdaptiveClipping):
    """MMEngine's OptimWrapper with adaptive gradient clipping.

    The gradient of each output unit is shortened to ``clip_factor`` times the norm of that unit's
    weights, or of ``eps`` where they are smaller. Biases and gains count as one unit each. The
    source leaves out the last layer; in a detector::

        optim_wrapper = dict(
            type='AGCOptimWrapper',
            clip_grad=dict(_delete_=True, clip_factor=0.01),
            paramwise_cfg=dict(custom_keys={'retina_cls': dict(agc=False)}))

    Source: Brock et al. 2021, "High-performance large-scale image recognition without
    normalization", section 4.

    Args:
        clip_grad: ``clip_factor``, default 0.01, and ``eps``, default 1e-3, the source's.
        kwargs: As for MMEngine's OptimWrapper.

    Raises:
        ValueError: clip_grad has another key, or a value is not positive.
    """


@OPTIM_WRAPPERS.register_module()
class AmpAGCOptimWrapper(_AdaptiveClipping, AmpOptimWrapper):
    """MMEngine's AmpOptimWrapper with the clipping of :class:`AGCOptimWrapper`."""
