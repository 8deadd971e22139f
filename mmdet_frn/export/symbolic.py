"""FRN in ONNX operators, for the TorchScript exporter (``torch.onnx.export(..., dynamo=False)``).

MMDeploy uses that exporter, at opset 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.onnx import register_custom_op_symbolic
from torch.onnx.symbolic_helper import _get_tensor_rank, _is_none, _maybe_get_const

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
    dtype = x.type().dtype()
    wide = torch.promote_types(dtype, torch.float32)

    def widen(value: Value) -> Value:
        return value if value.type().dtype() == wide else g.op('Cast', value, to_i=_TO[wide])

    def constant(value: Any, dtype: torch.dtype = wide) -> Value:
        return g.op('Constant', value_t=torch.tensor(value, dtype=dtype))

    rank = _get_tensor_rank(x)
    shape = constant([1, -1] + [1] * (rank - 2), torch.int64)

    def per_channel(param: Value) -> Value:
        return g.op('Reshape', widen(param), shape)

    y = widen(x)
    nu2 = g.op('Mul', y, y)
    axes = list(range(2, rank))
    if axes and g.opset < _AXES_ARE_AN_INPUT:
        nu2 = g.op('ReduceMean', nu2, axes_i=axes, keepdims_i=1)
    elif axes:
        nu2 = g.op('ReduceMean', nu2, constant(axes, torch.int64), keepdims_i=1)
    if _is_none(eps):
        epsilon = constant(abs(_maybe_get_const(eps_value, 'f')))
    else:
        epsilon = g.op('Abs', per_channel(eps))
    std = g.op('Sqrt', g.op('Add', nu2, epsilon))
    y = g.op('Mul', y, g.op('Div', per_channel(weight), std))
    y = g.op('Add', y, per_channel(bias))
    if not _is_none(residual):
        y = g.op('Add', y, widen(residual))
    if not _is_none(tau):
        y = g.op('Max', y, per_channel(tau))
    return y if dtype == wide else g.op('Cast', y, to_i=_TO[dtype])


def register() -> None:
    """Enter the translation into PyTorch's registry, for opset 11 and all later ones."""
    register_custom_op_symbolic('mmdet_frn::frn', frn, MIN_OPSET)
