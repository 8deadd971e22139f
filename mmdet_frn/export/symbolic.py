"""The fused ops in ONNX operators, for the TorchScript exporter.

MMDeploy uses that exporter (``torch.onnx.export(..., dynamo=False)``), at opset 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.onnx import register_custom_op_symbolic
from torch.onnx.errors import SymbolicValueError
from torch.onnx.symbolic_helper import (
    _get_tensor_rank,
    _is_none,
    _maybe_get_const,
    _unpack_list,
)

if TYPE_CHECKING:
    from torch._C import Value

MIN_OPSET = 11
_AXES_ARE_AN_INPUT = 18  # of ReduceMean, from this opset on
_TO = {torch.float32: 1, torch.float16: 10, torch.float64: 11, torch.bfloat16: 16}  # TensorProto


def frn(
    g: Any,
    x: Value,
    weight: Value,
    bias: Value,
    eps: Value,
    eps_value: Value,
    tau: Value,
    residual: Value,
) -> Value:
    """Write ``mmdet_frn::frn`` as standard operators; half inputs are cast to fp32 and back.

    The arguments are the graph's context and those of the op; the rank of x must be known.
    """
    graph = _Graph(g, x)
    y = graph.widen(x)
    nu2 = graph.mean(g.op('Mul', y, y), list(range(2, graph.rank)))
    if _is_none(eps):
        epsilon = graph.constant(abs(_maybe_get_const(eps_value, 'f')))
    else:
        epsilon = g.op('Abs', graph.per_channel(eps))
    std = g.op('Sqrt', g.op('Add', nu2, epsilon))
    y = g.op('Mul', y, g.op('Div', graph.per_channel(weight), std))
    y = g.op('Add', y, graph.per_channel(bias))
    if not _is_none(residual):
        y = g.op('Add', y, graph.widen(residual))
    if not _is_none(tau):
        y = g.op('Max', y, graph.per_channel(tau))
    return graph.narrow(y)


def group_norm(
    g: Any,
    x: Value,
    weight: Value,
    bias: Value,
    num_groups: Value,
    eps: Value,
    centered: Value,
    tau: Value,
    relu: Value,
    residual: Value,
) -> Value:
    """Write ``mmdet_frn::group_norm`` as standard operators, as :func:`frn` does."""
    graph = _Graph(g, x)
    wide = graph.widen(x)
    groups = graph.constant([0, _maybe_get_const(num_groups, 'i'), -1], torch.int64)
    y = g.op('Reshape', wide, groups)
    if _maybe_get_const(centered, 'i'):
        y = g.op('Sub', y, graph.mean(y, [2]))
    moment = graph.mean(g.op('Mul', y, y), [2])
    std = g.op('Sqrt', g.op('Add', moment, graph.constant(_maybe_get_const(eps, 'f'))))
    y = g.op('Reshape', g.op('Div', y, std), g.op('Shape', wide))
    y = g.op('Mul', y, graph.per_channel(weight))
    y = g.op('Add', y, graph.per_channel(bias))
    if not _is_none(residual):
        y = g.op('Add', y, graph.widen(residual))
    if _maybe_get_const(relu, 'i'):
        y = g.op('Relu', y)
    elif not _is_none(tau):
        y = g.op('Max', y, graph.per_channel(tau))
    return graph.narrow(y)


def evonorm_s0(
    g: Any,
    x: Value,
    weight: Value,
    bias: Value,
    num_groups: Value,
    eps: Value,
    v: Value,
) -> Value:
    """Write ``mmdet_frn::evonorm_s0`` as standard operators, as :func:`frn` does."""
    graph = _Graph(g, x)
    y = graph.widen(x)
    sizes = g.op('Shape', y)
    shape = graph.constant([0, _maybe_get_const(num_groups, 'i'), -1], torch.int64)
    groups = g.op('Reshape', y, shape)
    from_mean = g.op('Sub', groups, graph.mean(groups, [2]))
    var = graph.mean(g.op('Mul', from_mean, from_mean), [2])
    std = g.op('Sqrt', g.op('Add', var, graph.constant(_maybe_get_const(eps, 'f'))))
    if not _is_none(v):
        y = g.op('Mul', y, g.op('Sigmoid', g.op('Mul', y, graph.per_channel(v))))
    y = g.op('Reshape', g.op('Div', g.op('Reshape', y, shape), std), sizes)
    y = g.op('Mul', y, graph.per_channel(weight))
    return graph.narrow(g.op('Add', y, graph.per_channel(bias)))


def pointwise(g: Any, x: Value, params: Value, function: Value) -> Value:
    """Write ``mmdet_frn::pointwise`` as standard operators; scripted models have it."""
    graph = _Graph(g, x)
    y = graph.widen(x)
    per_channel = [graph.per_channel(param) for param in _unpack_list(params)]
    name = _maybe_get_const(function, 's')
    if name == 'tlu':
        y = g.op('Max', y, per_channel[0])
    elif name == 'affine_tlu':
        kappa, tau = per_channel
        y = g.op('Max', y, g.op('Add', g.op('Mul', kappa, y), tau))
    else:
        weight, bias, alpha = per_channel
        y = g.op('Mul', weight, g.op('Tanh', g.op('Mul', alpha, y)))
        y = g.op('Add', y, bias)
    return graph.narrow(y)


class _Graph:
    """What the translations share: casts, constants and means, for one input x."""

    def __init__(self, g: Any, x: Value) -> None:
        self.g = g
        dtype, rank = x.type().dtype(), _get_tensor_rank(x)
        if dtype is None or rank is None:
            raise SymbolicValueError('x must have a known dtype and rank; trace the model', x)
        self.dtype, self.rank = dtype, rank
        self.wide = torch.promote_types(dtype, torch.float32)

    def widen(self, value: Value) -> Value:
        if value.type().dtype() == self.wide:
            return value
        return self.g.op('Cast', value, to_i=_TO[self.wide])

    def narrow(self, value: Value) -> Value:
        if self.dtype == self.wide:
            return value
        return self.g.op('Cast', value, to_i=_TO[self.dtype])

    def constant(self, value: Any, dtype: torch.dtype | None = None) -> Value:
        return self.g.op('Constant', value_t=torch.tensor(value, dtype=dtype or self.wide))

    def per_channel(self, param: Value) -> Value:
        shape = self.constant([1, -1] + [1] * (self.rank - 2), torch.int64)
        return self.g.op('Reshape', self.widen(param), shape)

    def mean(self, value: Value, axes: list[int]) -> Value:
        if not axes:
            return value
        if self.g.opset < _AXES_ARE_AN_INPUT:
            return self.g.op('ReduceMean', value, axes_i=axes, keepdims_i=1)
        return self.g.op('ReduceMean', value, self.constant(axes, torch.int64), keepdims_i=1)


def register() -> None:
    """Enter the translations into PyTorch's registry, for opset 11 and all later ones."""
    register_custom_op_symbolic('mmdet_frn::frn', frn, MIN_OPSET)
    register_custom_op_symbolic('mmdet_frn::group_norm', group_norm, MIN_OPSET)
    register_custom_op_symbolic('mmdet_frn::evonorm_s0', evonorm_s0, MIN_OPSET)
    register_custom_op_symbolic('mmdet_frn::pointwise', pointwise, MIN_OPSET)
