"""Argument checks of the ops in Python, for what the compiled library does not check itself.

Each error names the argument, its value and the remedy; csrc/checks.cpp has the same messages.
"""

from __future__ import annotations

import math
from numbers import Real

from torch import Tensor


def check_arguments(
    x: Tensor,
    per_channel: dict[str, Tensor],
    eps: float | Tensor = 0.0,
    residual: Tensor | None = None,
) -> None:
    """Raise TypeError or ValueError unless the arguments of :func:`mmdet_frn.ops.frn_tlu` fit.

    ``per_channel`` holds the parameters of shape (C,) by their names.
    """
    check_input('x', x)
    for name, param in per_channel.items():
        check_per_channel(name, param, x)
    _check_eps(eps, x)
    if residual is not None:
        _check_residual(residual, x)


def check_group_arguments(
    x: Tensor,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    tau: Tensor | None = None,
    relu: bool = False,
    residual: Tensor | None = None,
    v: Tensor | None = None,
) -> None:
    """Raise unless the arguments of ``group_norm`` or ``evonorm_s0`` of mmdet_frn.ops fit."""
    per_channel = {'weight': weight, 'bias': bias}
    per_channel |= {name: t for name, t in (('tau', tau), ('v', v)) if t is not None}
    check_arguments(x, per_channel, eps, residual)
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(
            f'num_groups must divide the number of channels of x, {x.shape[1]}, but is {num_groups}'
        )
    if eps < 0:
        raise ValueError(f'eps must be at least 0, but is {eps}')
    if relu and tau is not None:
        raise ValueError('tau is the threshold of a TLU, but relu is set; give one of the two')


def check_types(
    tensors: dict[str, Tensor], eps: float | Tensor, residual: Tensor | None = None
) -> None:
    """Raise TypeError unless ``tensors``, named, and ``residual`` are tensors and eps a number."""
    if residual is not None:
        tensors = {**tensors, 'residual': residual}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TypeError(f'{name} must be a tensor, but is a {type(value).__name__}')
    if not isinstance(eps, (Tensor, Real)):
        raise TypeError(f'eps must be a number or a tensor, but is a {type(eps).__name__}')


def _check_floating(name: str, value: Tensor) -> None:
    check_types({name: value}, 0.0)
    if not value.is_floating_point():
        raise TypeError(
            f'{name} must be a floating point tensor, but its dtype is {value.dtype}; '
            f'convert it, for example with {name}.float()'
        )


def check_input(name: str, x: Tensor) -> None:
    """Raise unless ``x`` is floating point, (N, C, *) with 0 to 3 non-empty spatial dims."""
    _check_floating(name, x)
    if not 2 <= x.dim() <= 5:
        raise ValueError(
            f'{name} must be (N, C, *) with zero to three spatial dimensions, '
            f'but its shape is {tuple(x.shape)}'
        )
    if 0 in x.shape[2:]:
        raise ValueError(
            f'{name} has an empty spatial extent, shape {tuple(x.shape)}: the mean of its '
            f'squares is undefined; check the input size against the total stride'
        )


def check_per_channel(name: str, param: Tensor, x: Tensor) -> None:
    """Raise unless ``param`` is floating point, (C,) for x of (N, C, *), on x's device."""
    _check_floating(name, param)
    if param.shape != x.shape[1:2]:
        raise ValueError(
            f'{name} must have one element per channel, ({x.shape[1]},) for an input of shape '
            f'{tuple(x.shape)}, but its shape is {tuple(param.shape)}; channels come '
            f'second, (N, C, *): set num_features to {x.shape[1]}, or transpose tokens (N, L, C) '
            f'with transpose(1, 2)'
        )
    _check_device(name, param, x)


def _check_eps(eps: float | Tensor, x: Tensor) -> None:
    """Raise unless ``eps`` is a finite number, or a floating tensor of one element or (C,)."""
    if isinstance(eps, Tensor):
        _check_floating('eps', eps)
        if eps.numel() != 1 and eps.shape != x.shape[1:2]:
            raise ValueError(
                f'eps must be a number or a tensor of one element or of ({x.shape[1]},), '
                f'but its shape is {tuple(eps.shape)}'
            )
        _check_device('eps', eps, x)
        return
    check_types({}, eps)
    if not -math.inf < eps < math.inf:  # TorchDynamo traces no math.isfinite of its symbols
        raise ValueError(f'eps must be finite, but is {eps}')


def _check_residual(residual: Tensor, x: Tensor) -> None:
    """Raise unless ``residual`` has the shape, dtype and device of ``x``."""
    _check_floating('residual', residual)
    if residual.shape != x.shape or residual.dtype != x.dtype:
        raise ValueError(
            f'residual must have the shape and dtype of x, {tuple(x.shape)} {x.dtype}, '
            f'but has {tuple(residual.shape)} {residual.dtype}'
        )
    _check_device('residual', residual, x)


def _check_device(name: str, value: Tensor, x: Tensor) -> None:
    if value.device != x.device:
        raise ValueError(
            f'{name} is on {value.device} and the input on {x.device}; move them to one device'
        )
