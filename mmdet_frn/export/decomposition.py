"""The fused ops in ATen ops, for exporters that know no op of ours.

The decompositions stand in PyTorch's table, from which ``torch.onnx.export`` takes what it has no
translation for. Inductor and ``torch.export`` take only what they name and keep the fused op.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._decomp import register_decomposition
from torch._prims_common import suggest_memory_format

from mmdet_frn.ops import reference
from mmdet_frn.ops.library import has_op


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
    return _like(y, x), rstd.flatten(1)


def group_norm_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    num_groups: int,
    eps: float,
    centered: bool,
    tau: Tensor | None,
    relu: bool,
    residual: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Compute ``mmdet_frn::group_norm_forward`` without its kernels: forward only.

    The arguments are those of :func:`mmdet_frn.ops.group_norm`.

    Returns:
        The result, of x's dtype, and means (zeros unless centered) and 1 / sqrt(moment + eps),
        (2, N, groups), in at least fp32; strides are those of the op.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    shape = (1, -1) + (1,) * (x.dim() - 2)
    groups = x.to(wide).reshape(x.shape[0], num_groups, -1)
    mean = groups.mean(2, keepdim=True)
    if centered:
        groups = groups - mean
    else:
        mean = torch.zeros_like(mean)
    rstd = torch.rsqrt((groups * groups).mean(2, keepdim=True) + eps)
    y = (groups * rstd).reshape(x.shape)
    y = y * weight.to(wide).reshape(shape) + bias.to(wide).reshape(shape)
    if residual is not None:
        y = y + residual.to(wide)
    if relu:
        y = torch.relu(y)
    elif tau is not None:
        y = torch.maximum(y, tau.to(wide).reshape(shape))
    stats = torch.stack((mean.flatten(1), rstd.flatten(1)))
    return _like(y, x), stats


def evonorm_s0_forward(
    x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float, v: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Compute ``mmdet_frn::evonorm_s0_forward`` without its kernels: forward only.

    The arguments are those of :func:`mmdet_frn.ops.evonorm_s0`.

    Returns:
        The result, of x's dtype, and means and 1 / sqrt(var + eps), (2, N, groups), in at least
        fp32; strides are those of the op.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    shape = (1, -1) + (1,) * (x.dim() - 2)
    y = x.to(wide)
    groups = y.reshape(x.shape[0], num_groups, -1)
    mean = groups.mean(2, keepdim=True)
    from_mean = groups - mean
    rstd = torch.rsqrt((from_mean * from_mean).mean(2, keepdim=True) + eps)
    if v is not None:
        y = y * torch.sigmoid(y * v.to(wide).reshape(shape))
    y = (y.reshape(groups.shape) * rstd).reshape(x.shape)
    y = y * weight.to(wide).reshape(shape) + bias.to(wide).reshape(shape)
    stats = torch.stack((mean.flatten(1), rstd.flatten(1)))
    return _like(y, x), stats


def pointwise(x: Tensor, params: list[Tensor], function: str) -> Tensor:
    """Compute ``mmdet_frn::pointwise`` without its kernels, by its reference."""
    return _like(getattr(reference, function)(x, *params), x)


def _like(y: Tensor, x: Tensor) -> Tensor:
    """Return y with x's dtype and the layout that the ops give their result."""
    layout = torch.contiguous_format if x.is_contiguous() else suggest_memory_format(x)
    return y.to(x.dtype).contiguous(memory_format=layout)


def register() -> None:
    """Enter the decompositions into PyTorch's table, as those of the compiled ops."""
    register_decomposition(torch.ops.mmdet_frn.frn_forward.default)(frn_forward)
    if has_op('group_norm'):
        register_decomposition(torch.ops.mmdet_frn.group_norm_forward.default)(group_norm_forward)
    if has_op('evonorm_s0'):
        register_decomposition(torch.ops.mmdet_frn.evonorm_s0_forward.default)(evonorm_s0_forward)
    if has_op('pointwise'):
        register_decomposition(torch.ops.mmdet_frn.pointwise.default)(pointwise)
