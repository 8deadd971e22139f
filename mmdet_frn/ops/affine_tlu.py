"""The paper's Affine-TLU as a function (Singh and Krishnan, CVPR 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from . import reference
from .checks import check_arguments
from .pointwise import pointwise, scripted_affine_tlu


def affine_tlu(x: Tensor, kappa: Tensor, tau: Tensor) -> Tensor:
    """Affine-TLU (Singh and Krishnan 2020, Table 5): max(x, kappa * x + tau), channel by channel.

    At a tie the gradient goes to x.

    Args:
        x: Input (N, C, *) with zero to three spatial dimensions; floating point.
        kappa: Slope (C,).
        tau: Shift (C,).

    Returns:
        Tensor of x's shape and dtype.

    Raises:
        TypeError: an argument is not a floating point tensor.
        ValueError: kappa or tau is not (C,), the spatial extent is empty or devices differ.
    """
    if not torch.jit.is_scripting():
        if has_torch_function_unary(x):
            return handle_torch_function(affine_tlu, (x,), x, kappa, tau)
        params = {'kappa': kappa, 'tau': tau}
        check_arguments(x, params)
        return pointwise('affine_tlu', x, params, reference.affine_tlu)
    return scripted_affine_tlu(x, kappa, tau)
