"""Calls of every fused op: its function, arguments, schema, and a layer that makes each form."""

from collections.abc import Callable

import frn_equations
import group_equations
import torch
from frn_equations import LAYOUTS
from torch import Tensor, nn

from mmdet_frn import ops


class Call:
    """One call: the function, its arguments, and how the op behind it takes them."""

    def __init__(self, kernel: str, function: str, make: Callable, schema: Callable):
        self.kernel, self.function, self.make, self.schema = kernel, function, make, schema

    def __call__(self, *args) -> Tensor:
        return getattr(ops, self.function)(*args)

    def args(self, shape, dtype, layout='contiguous') -> list:
        """Random arguments of which every tensor requires a gradient; x is the first."""
        args = self.make(shape, dtype, LAYOUTS[layout])
        return [t.requires_grad_() if isinstance(t, Tensor) else t for t in args]


def tensors(args) -> list[Tensor]:
    return [t for t in args if isinstance(t, Tensor)]


def frn(residual: bool, eps: str) -> Call:
    def make(shape, dtype, layout):
        inputs = frn_equations.make_inputs(shape, dtype, 'cpu', layout, residual, eps)
        if isinstance(inputs.eps, Tensor):
            inputs.eps += inputs.eps.sign() * 0.1  # away from the kink of |eps|
        return inputs.args()

    def schema(x, weight, bias, tau, eps, residual):
        eps, value = (eps, 0.0) if isinstance(eps, Tensor) else (None, eps)
        return x, weight, bias, eps, value, tau, residual

    return Call('frn', 'frn_tlu', make, schema)


def group_norm(groups: int, centered: bool, act: str | None, residual: bool) -> Call:
    def make(shape, dtype, layout):
        return group_equations.make_inputs(
            shape, groups, dtype, centered, act, residual, layout
        ).args()

    def schema(x, groups, weight, bias, eps, centered, tau, relu, residual):
        return x, weight, bias, groups, eps, centered, tau, relu, residual

    return Call('group_norm', 'group_norm', make, schema)


def random_inputs(shape, dtype, layout, params: int, mean: float = 0.0) -> tuple[Tensor, ...]:
    """X and ``params`` parameters of a number per channel, in fp32 where x is narrower."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    x = layout((torch.randn(shape, dtype=torch.float64) + mean).to(dtype))
    return x, *(torch.randn(shape[1], dtype=wide) for _ in range(params))


def evonorm(with_v: bool) -> Call:
    def make(shape, dtype, layout):
        x, weight, bias, v = random_inputs(shape, dtype, layout, 3, mean=0.5)
        return x, 2, weight, bias, v if with_v else None, 1e-3

    def schema(x, groups, weight, bias, v, eps):
        return x, weight, bias, groups, eps, v

    return Call('evonorm_s0', 'evonorm_s0', make, schema)


def pointwise(function: str, params: int) -> Call:
    def make(shape, dtype, layout):
        return random_inputs(shape, dtype, layout, params)

    return Call('pointwise', function, make, lambda x, *params: (x, list(params), function))


CALLS = {
    'frn': frn(residual=False, eps='number'),
    'frn-residual-eps': frn(residual=True, eps='one'),
    'frn-residual-eps-per-channel': frn(residual=True, eps='channel'),
    'group_norm-tlu': group_norm(2, True, 'tlu', False),
    'group_norm-relu-residual': group_norm(1, True, 'relu', True),
    'rms_norm-tlu-residual': group_norm(2, False, 'tlu', True),
    'rms_norm': group_norm(2, False, None, False),
    'evonorm_s0': evonorm(with_v=True),
    'evonorm_s0-without-v': evonorm(with_v=False),
    'tlu': pointwise('tlu', 1),
    'affine_tlu': pointwise('affine_tlu', 2),
    'dyt': pointwise('dyt', 3),
}


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.rand(6)) for _ in range(3))


class FRNLayer(Layer):
    def __init__(self):
        super().__init__()
        self.eps = nn.Parameter(torch.tensor([1e-4]))

    def forward(self, x):
        y = ops.frn(x, self.a, self.b)
        y = ops.frn_tlu(y, self.a, self.b, self.c, self.eps, x)
        return ops.frn_tlu(y, self.a, self.b, self.c)


class GroupNormLayer(Layer):
    def forward(self, x):
        y = ops.group_norm(x, 3, self.a, self.b, tau=self.c, residual=x)
        y = ops.group_norm(y, 2, self.a, self.b, centered=False, tau=self.c)
        return ops.group_norm(y, 1, self.a, self.b, relu=True)


class EvoNormLayer(Layer):
    def forward(self, x):
        y = ops.evonorm_s0(x, 3, self.a, self.b, self.c)
        return ops.evonorm_s0(y, 2, self.a, self.b)


class PointwiseLayer(Layer):
    def forward(self, x):
        y = ops.dyt(x, self.a, self.b, self.c)
        return ops.tlu(ops.affine_tlu(y, self.a, self.b), self.c)


LAYERS = {
    'frn': FRNLayer,
    'group_norm': GroupNormLayer,
    'evonorm_s0': EvoNormLayer,
    'pointwise': PointwiseLayer,
}
