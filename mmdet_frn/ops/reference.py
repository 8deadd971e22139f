"""The ops written out in PyTorch, equation by equation: the reference of the fused kernels.

Source: Singh and Krishnan, "Filter Response Normalization Layer: Eliminating Batch Dependence in
the Training of Deep Neural Networks", CVPR 2020. Equation and section numbers below are its.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _per_channel(param: Tensor, x: Tensor) -> Tensor:
    """Shape a (C,) or one-element ``param`` so that it broadcasts over x of shape (N, C, *)."""
    # torch.jit.script, which compiles these functions too, unpacks no list: no *[1] here.
    return param.reshape([1, -1] + [1] * (x.dim() - 2))


def _threshold(y: Tensor, tau: Tensor) -> Tensor:
    # Eq. (4) gives tau no gradient where y >= tau, while torch.maximum splits a tie in halves.
    # A NaN on either side goes through, as it does in torch.maximum.
    if not torch.jit.is_scripting():  # noqa: SIM102  what follows `and` would be scripted
        if torch.onnx.is_in_onnx_export():
            return torch.maximum(y, tau)  # one operator, and no gradient
    return torch.where((y < tau) | tau.isnan(), tau, y)


def _normalize(x: Tensor, weight: Tensor, bias: Tensor, eps: float | Tensor) -> Tensor:
    """Eq. (1)-(2) in the statistics' dtype: x is widened before anything is squared."""
    wide = torch.promote_types(x.dtype, torch.float32)
    x = x.to(wide)
    nu2 = x * x
    # With no spatial extent (N = 1 in section 3.3) the mean is over the one element itself.
    if x.dim() > 2:
        nu2 = nu2.mean(list(range(2, x.dim())), keepdim=True)
    if isinstance(eps, Tensor):
        nu2 = nu2 + _per_channel(eps.to(wide), x).abs()
    else:
        nu2 = nu2 + abs(eps)
    # relu changes no value; it stops the gradient where the mean square overflowed and rsqrt is 0.
    x_hat = x * torch.rsqrt(nu2).relu()
    return _per_channel(weight.to(wide), x) * x_hat + _per_channel(bias.to(wide), x)


def frn(x: Tensor, weight: Tensor, bias: Tensor, eps: float | Tensor = 1e-6) -> Tensor:
    """Reference of :func:`mmdet_frn.ops.frn`: same arguments and result, arguments unchecked."""
    return _normalize(x, weight, bias, eps).to(x.dtype)


def frn_tlu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    tau: Tensor,
    eps: float | Tensor = 1e-6,
    residual: Tensor | None = None,
) -> Tensor:
    """Reference of :func:`mmdet_frn.ops.frn_tlu`: same arguments and result, unchecked."""
    y = _normalize(x, weight, bias, eps)
    if residual is not None:
        y = y + residual
    return _threshold(y, _per_channel(tau.to(y.dtype), y)).to(x.dtype)


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float = 1e-5,
    centered: bool = True,
    tau: Tensor | None = None,
    relu: bool = False,
    residual: Tensor | None = None,
) -> Tensor:
    """Reference of :func:`mmdet_frn.ops.group_norm`: same arguments and result, unchecked."""
    wide = torch.promote_types(x.dtype, torch.float32)
    y = x.to(wide)
    if centered:
        y = torch.group_norm(y, num_groups, weight.to(wide), bias.to(wide), eps)
    else:
        groups = y.unflatten(1, [num_groups, -1]).flatten(2)  # N may be 0
        # relu as in _normalize above.
        rstd = (groups.square().mean(2) + eps).rsqrt().relu()
        # Not repeat_interleave, which PyTorch 2.5 does not export where N is dynamic.
        rstd = rstd[:, :, None].expand(x.shape[0], num_groups, x.shape[1] // num_groups)
        y = y * rstd.reshape([x.shape[0], x.shape[1]] + [1] * (x.dim() - 2))
        y = _per_channel(weight.to(wide), x) * y + _per_channel(bias.to(wide), x)
    if residual is not None:
        y = y + residual
    if relu:
        y = y.relu()
    elif tau is not None:
        y = _threshold(y, _per_channel(tau.to(wide), y))
    return y.to(x.dtype)


def evonorm_s0(
    x: Tensor,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    v: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Reference of :func:`mmdet_frn.ops.evonorm_s0`: same arguments and result, unchecked."""
    wide = torch.promote_types(x.dtype, torch.float32)
    y = x.to(wide)
    groups = y.unflatten(1, [num_groups, -1])
    dims = list(range(2, groups.dim()))
    var = (groups - groups.mean(dims, keepdim=True)).square().mean(dims)
    # relu and expand as in group_norm above.
    rstd = (var + eps).rsqrt().relu()
    rstd = rstd[:, :, None].expand(x.shape[0], num_groups, x.shape[1] // num_groups)
    rstd = rstd.reshape([x.shape[0], x.shape[1]] + [1] * (x.dim() - 2))
    if v is not None:
        y = y * (_per_channel(v.to(wide), y) * y).sigmoid()
    y = _per_channel(weight.to(wide), y) * (y * rstd) + _per_channel(bias.to(wide), y)
    return y.to(x.dtype)


def affine_tlu(x: Tensor, kappa: Tensor, tau: Tensor) -> Tensor:
    """Reference of :func:`mmdet_frn.ops.affine_tlu`: same arguments and result, unchecked."""
    wide = torch.promote_types(x.dtype, torch.float32)
    y = x.to(wide)
    line = _per_channel(kappa.to(wide), y) * y + _per_channel(tau.to(wide), y)
    return torch.where(y < line, line, y).to(x.dtype)


def dyt(x: Tensor, weight: Tensor, bias: Tensor, alpha: Tensor) -> Tensor:
    """Reference of :func:`mmdet_frn.ops.dyt`: same arguments and result, unchecked."""
    wide = torch.promote_types(x.dtype, torch.float32)
    y = (_per_channel(alpha.to(wide), x) * x.to(wide)).tanh()
    y = _per_channel(weight.to(wide), y) * y + _per_channel(bias.to(wide), y)
    return y.to(x.dtype)


def tlu(y: Tensor, tau: Tensor) -> Tensor:
    """Reference of :func:`mmdet_frn.ops.tlu`: same arguments and result, arguments unchecked."""
    wide = torch.promote_types(y.dtype, torch.promote_types(tau.dtype, torch.float32))
    return _threshold(y.to(wide), _per_channel(tau.to(wide), y)).to(y.dtype)
