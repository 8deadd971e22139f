"""The Thresholded Linear Unit as a function (Singh and Krishnan, CVPR 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from . import reference
from .checks import check_input, check_per_channel
from .pointwise import pointwise, scripted_tlu


def tlu(y: Tensor, tau: Tensor) -> Tensor:
    """Thresholded Linear Unit, eq. (3): max(y, tau), channel by channel.

    At a tie the gradient goes to y and none to tau (eq. 4).

    Args:
        y: Input (N, C, *) with zero to three spatial dimensions; floating point.
        tau: Threshold (C,).

    Returns:
        Tensor of y's shape and dtype.

    Raises:
        TypeError: y or tau is not a floating point tensor.
        ValueError: tau is not (C,), the spatial extent is empty or devices differ.
    """
    if not torch.jit.is_scripting():
        if has_torch_function_unary(y):
            return handle_torch_function(tlu, (y,), y, tau)
        check_input('y', y)
        check_per_channel('tau', tau, y)
        return pointwise('tlu', y, {'tau': tau}, reference.tlu)
    return scripted_tlu(y, tau)
