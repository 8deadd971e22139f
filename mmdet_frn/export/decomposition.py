"""FRN in ATen ops, for exporters that know no op of ours.

The decomposition stands in PyTorch's table, from which ``torch.onnx.export`` takes what it has no
translation for. Inductor and ``torch.export`` take only what they name and keep the fused op.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._decomp import register_decomposition
from torch._prims_common import suggest_memory_format


def frn_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: Tensor | None,
    eps_value: float,
    tau: Tensor | None,
    residual: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Compute ``mmdet_frn::frn_forward`` without its kernels: forward only, not to be trained.

    Half inputs are widened to fp32 before they are squared. One multiplication and one addition per
    element follow the statistics, and one maximum where there is a ``tau``.

    The arguments are those of :func:`mmdet_frn.ops.frn_tlu`, with eps as a tensor or, where that is
    None, a number.

    Returns:
        The result, of x's dtype, and 1 / sqrt(mean(x^2) + |eps|), (N, C), in at least fp32; strides
        are those of the op.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    shape = (1, -1) + (1,) * (x.dim() - 2)
    spatial = tuple(range(2, x.dim()))
    y = x.to(wide)
    square = y * y
    nu2 = square.mean(spatial, keepdim=True) if spatial else square
    epsilon = abs(eps_value) if eps is None else eps.to(wide).abs().reshape(shape)
    rstd = torch.rsqrt(nu2 + epsilon)
    y = y * (weight.to(wide).reshape(shape) * rstd) + bias.to(wide).reshape(shape)
    if residual is not None:
        y = y + residual.to(wide)
    if tau is not None:
        y = torch.maximum(y, tau.to(wide).reshape(shape))
    layout = torch.contiguous_format if x.is_contiguous() else suggest_memory_format(x)
    return y.to(x.dtype).contiguous(memory_format=layout), rstd.flatten(1)


def register() -> None:
    """Enter the decomposition into PyTorch's table, as that of the compiled op."""
    register_decomposition(torch.ops.mmdet_frn.frn_forward.default)(frn_forward)
