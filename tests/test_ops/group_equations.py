"""Norms over groups of channels in fp64 by PyTorch's autograd: GN and RMSNorm, then max or ReLU."""

from dataclasses import dataclass

import torch
from frn_equations import contiguous, rows
from torch import Tensor
from torch.nn import functional as F


@dataclass
class GroupInputs:
    x: Tensor
    groups: int
    weight: Tensor
    bias: Tensor
    centered: bool
    act: str | None
    tau: Tensor | None
    residual: Tensor | None
    dz: Tensor
    eps: float = 1e-3

    def args(self) -> tuple:
        relu = self.act == 'relu'
        return (
            self.x, self.groups, self.weight, self.bias, self.eps, self.centered, self.tau, relu,
            self.residual,
        )  # fmt: skip

    def tensors(self) -> dict[str, Tensor]:
        """The differentiable arguments that are there."""
        named = vars(self).items()
        return {k: v for k, v in named if k != 'dz' and isinstance(v, Tensor)}

    def requires_grad_(self) -> 'GroupInputs':
        for tensor in self.tensors().values():
            tensor.requires_grad_()
        return self


def make_inputs(
    shape,
    groups,
    dtype,
    centered=True,
    act='tlu',
    residual=False,
    layout=contiguous,
    mean=0.5,
    device='cpu',
) -> GroupInputs:
    """Random inputs; dz is 0 where y is so near a threshold that rounding decides."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def randn(*size, dtype=wide):
        return torch.randn(*size, dtype=torch.float64, device=device).to(dtype)

    channels = shape[1]
    inputs = GroupInputs(
        x=layout(randn(*shape, dtype=dtype) + mean),
        groups=groups,
        weight=randn(channels),
        bias=randn(channels),
        centered=centered,
        act=act,
        tau=randn(channels) if act == 'tlu' else None,
        residual=layout(randn(*shape, dtype=dtype)) if residual else None,
        dz=randn(*shape, dtype=dtype),
    )
    if act is not None:
        y = normalised(inputs)
        limit = rows(inputs.tau.double(), y) if act == 'tlu' else 0
        inputs.dz[(y - limit).abs() < 1e-3 * (1 + y.abs())] = 0
    inputs.dz = layout(inputs.dz)
    return inputs


def normalised(inputs: GroupInputs) -> Tensor:
    """PyTorch's group norm, or its RMSNorm of the groups, [+ residual] in fp64."""
    x = inputs.x.double()
    weight, bias = inputs.weight.double(), inputs.bias.double()
    if inputs.centered:
        y = F.group_norm(x, inputs.groups, weight, bias, inputs.eps)
    else:
        segments = x.unflatten(1, (inputs.groups, -1)).flatten(2)
        y = F.rms_norm(segments, segments.shape[2:], eps=inputs.eps).reshape(x.shape)
        y = rows(weight, x) * y + rows(bias, x)
    return y if inputs.residual is None else y + inputs.residual.double()


def expected(inputs: GroupInputs) -> dict[str, Tensor]:
    """The result and the gradient of sum(dz * z) for each argument, in fp64."""
    names = inputs.tensors()
    with torch.enable_grad():
        y = normalised(inputs)
        z = y
        if inputs.act == 'tlu':
            z = torch.maximum(y, rows(inputs.tau.double(), y))
        elif inputs.act == 'relu':
            z = y.relu()
        doubles = torch.autograd.grad(z, list(names.values()), inputs.dz.double())
    return {'z': z.detach(), **dict(zip(names, doubles, strict=True))}
