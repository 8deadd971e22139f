"""Functions of an element with parameters per channel in fp64 by PyTorch: TLU, Affine-TLU, DyT."""

from dataclasses import dataclass

import torch
from frn_equations import contiguous, rows
from torch import Tensor

PARAMS = {'tlu': ('tau',), 'affine_tlu': ('kappa', 'tau'), 'dyt': ('weight', 'bias', 'alpha')}
EQUATIONS = {
    'tlu': torch.maximum,
    'affine_tlu': lambda x, kappa, tau: torch.maximum(x, kappa * x + tau),
    'dyt': lambda x, weight, bias, alpha: weight * torch.tanh(alpha * x) + bias,
}


@dataclass
class PointwiseInputs:
    function: str
    x: Tensor
    params: tuple[Tensor, ...]  # as PARAMS names them
    dz: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """The differentiable arguments."""
        return {'x': self.x, **dict(zip(PARAMS[self.function], self.params, strict=True))}

    def requires_grad_(self) -> 'PointwiseInputs':
        for tensor in self.tensors().values():
            tensor.requires_grad_()
        return self


def make_inputs(function, shape, dtype, layout=contiguous, device='cpu') -> PointwiseInputs:
    """Random inputs; dz is 0 where the two of a maximum are so near that rounding decides."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def randn(*size, dtype=wide):
        return torch.randn(*size, dtype=torch.float64, device=device).to(dtype)

    x = layout(randn(*shape, dtype=dtype))
    params = tuple(randn(shape[1]) for _ in PARAMS[function])
    dz = randn(*shape, dtype=dtype)
    if function != 'dyt':
        doubles = [rows(p.double(), x) for p in params]
        other = doubles[-1] + (doubles[0] * x.double() if function == 'affine_tlu' else 0)
        dz[(x.double() - other).abs() < 1e-3 * (1 + x.double().abs())] = 0
    return PointwiseInputs(function, x, params, layout(dz))


def expected(inputs: PointwiseInputs) -> dict[str, Tensor]:
    """The result and the gradient of sum(dz * z) for each argument, in fp64."""
    doubles = {k: t.detach().double().requires_grad_() for k, t in inputs.tensors().items()}
    x, *params = doubles.values()
    with torch.enable_grad():
        z = EQUATIONS[inputs.function](x, *(rows(p, x) for p in params))
        grads = torch.autograd.grad(z, list(doubles.values()), inputs.dz.double())
    return {'z': z.detach(), **dict(zip(doubles, grads, strict=True))}
