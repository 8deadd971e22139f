"""Dynamic Tanh as a function (Zhu et al. 2025, "Transformers without Normalization")."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from . import reference
from .checks import check_arguments
from .pointwise import pointwise, scripted_dyt


def dyt(x: Tensor, weight: Tensor, bias: Tensor, alpha: Tensor) -> Tensor:
    """DyT (Zhu et al. 2025): weight * tanh(alpha * x) + bias.

    Args:
        x: Input (N, C, *) with zero to three spatial dimensions; floating point.
        weight: Scale (C,).
        bias: Shift (C,).
        alpha: One element, or (C,).

    Returns:
        Tensor of x's shape and dtype.

    Raises:
        TypeError: an argument is not a floating point tensor.
        ValueError: a parameter does not fit x, the spatial extent is empty or devices differ.
    """
    if not torch.jit.is_scripting():
        if has_torch_function_unary(x):
            return handle_torch_function(dyt, (x,), x, weight, bias, alpha)
        params = {'weight': weight, 'bias': bias}
        check_arguments(x, params)
        # One element gets the sum of the gradients of all channels.
        params['alpha'] = alpha.expand(weight.shape)
        return pointwise('dyt', x, params, reference.dyt)
    return scripted_dyt(x, weight, bias, alpha)
