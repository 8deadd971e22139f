"""The op behind TLU, Affine-TLU and DyT: a function of each element, parameters per channel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from . import fused, reference
from .library import has_op, runs_fused


def pointwise(
    function: str, x: Tensor, params: dict[str, Tensor], plain: Callable[..., Tensor]
) -> Tensor:
    """Return the function of csrc/pointwise.h of that name of x, whose arguments are checked.

    Args:
        function: 'tlu', 'affine_tlu' or 'dyt'.
        x: (N, C, *).
        params: The parameters (C,) by name, in the function's order.
        plain: The same in PyTorch, of x and the parameters. Exporters to ONNX take it.
    """
    values = list(params.values())
    if not runs_fused('pointwise', x.device) or torch.onnx.is_in_onnx_export():
        return plain(x, *values)
    try:
        return torch.ops.mmdet_frn.pointwise.default(x, values, function)
    except RuntimeError as error:
        return fused.recover(error, lambda: plain(x, *values), params)


# What torch.jit.script compiles in the place of the functions that call the one above.


def _scripted_tlu(y: Tensor, tau: Tensor) -> Tensor:
    return torch.ops.mmdet_frn.pointwise(y, [tau], 'tlu')


def _scripted_affine_tlu(x: Tensor, kappa: Tensor, tau: Tensor) -> Tensor:
    return torch.ops.mmdet_frn.pointwise(x, [kappa, tau], 'affine_tlu')


def _scripted_dyt(x: Tensor, weight: Tensor, bias: Tensor, alpha: Tensor) -> Tensor:
    params = [weight, bias, alpha.expand(weight.shape)]
    return torch.ops.mmdet_frn.pointwise(x, params, 'dyt')


if has_op('pointwise'):
    scripted_tlu, scripted_affine_tlu, scripted_dyt = (
        _scripted_tlu,
        _scripted_affine_tlu,
        _scripted_dyt,
    )
else:
    scripted_tlu, scripted_affine_tlu, scripted_dyt = (
        reference.tlu,
        reference.affine_tlu,
        reference.dyt,
    )
