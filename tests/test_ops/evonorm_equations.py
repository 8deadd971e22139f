"""EvoNorm-S0 in fp64, written out from its source (Liu et al. 2020, Table 2)."""

from dataclasses import dataclass

import torch
from frn_equations import contiguous, rows
from torch import Tensor

EPS = 1e-3


@dataclass
class EvoNormInputs:
    x: Tensor
    groups: int
    weight: Tensor
    bias: Tensor
    v: Tensor | None
    dz: Tensor
    eps: float = EPS

    def args(self) -> tuple:
        return self.x, self.groups, self.weight, self.bias, self.v, self.eps

    def tensors(self) -> dict[str, Tensor]:
        """The differentiable arguments that are there."""
        named = vars(self).items()
        return {k: t for k, t in named if k != 'dz' and isinstance(t, Tensor)}

    def requires_grad_(self) -> 'EvoNormInputs':
        for tensor in self.tensors().values():
            tensor.requires_grad_()
        return self


def make_inputs(
    shape, groups, dtype, with_v=True, layout=contiguous, mean=0.5, device='cpu'
) -> EvoNormInputs:
    """Random inputs."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def randn(*size, dtype=wide):
        return torch.randn(*size, dtype=torch.float64, device=device).to(dtype)

    weight, bias, v = (randn(shape[1]) for _ in range(3))
    x = layout(randn(*shape, dtype=dtype) + mean)
    dz = layout(randn(*shape, dtype=dtype))
    return EvoNormInputs(x, groups, weight, bias, v if with_v else None, dz)


def equation(x, groups, weight, bias, v, eps) -> Tensor:
    """Table 2's equation for fp64 tensors."""
    var = x.reshape(x.shape[0], groups, -1).var(2, unbiased=False)
    std = (var + eps).sqrt().repeat_interleave(x.shape[1] // groups, 1)
    acted = x if v is None else x * torch.sigmoid(rows(v, x) * x)
    return rows(weight, x) * acted / std.view(*std.shape, *[1] * (x.dim() - 2)) + rows(bias, x)


def expected(inputs: EvoNormInputs) -> dict[str, Tensor]:
    """The result and the gradient of sum(dz * z) for each argument, in fp64."""
    doubles = {k: t.detach().double().requires_grad_() for k, t in inputs.tensors().items()}
    with torch.enable_grad():
        z = equation(groups=inputs.groups, eps=inputs.eps, **{'v': None} | doubles)
        grads = torch.autograd.grad(z, list(doubles.values()), inputs.dz.double())
    return {'z': z.detach(), **dict(zip(doubles, grads, strict=True))}
