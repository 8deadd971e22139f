"""FRN + TLU and its gradients in fp64, written out from the paper's equations; and test inputs."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Largest error allowed, relative to the tensor's scale: rounding to the dtype, and fp32 arithmetic.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 4e-6,
    torch.float16: 1.5e-3,
    torch.bfloat16: 1e-2,
}


def contiguous(x: Tensor) -> Tensor:
    return x.contiguous()


def channels_last(x: Tensor) -> Tensor:
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.contiguous(memory_format=formats.get(x.dim(), torch.contiguous_format))


def strided(x: Tensor) -> Tensor:
    """Every second element of a larger tensor in each dimension: no dense layout fits."""
    big = x.new_full([2 * size for size in x.shape], 7.0)
    view = big[tuple(slice(1, None, 2) for _ in x.shape)]
    return view.copy_(x)


def misaligned(x: Tensor) -> Tensor:
    """Dense, but starting one element after the allocation."""
    flat = x.new_empty(x.numel() + 1)[1:]
    return flat.copy_(x.reshape(-1)).view(x.shape)


LAYOUTS = {f.__name__: f for f in (contiguous, channels_last, strided, misaligned)}


@dataclass
class Inputs:
    x: Tensor
    weight: Tensor
    bias: Tensor
    tau: Tensor
    eps: float | Tensor
    residual: Tensor | None
    dz: Tensor

    def args(self) -> tuple:
        return self.x, self.weight, self.bias, self.tau, self.eps, self.residual

    def tensors(self) -> dict[str, Tensor]:
        """The differentiable arguments that are there."""
        named = vars(self).items()
        return {k: v for k, v in named if k != 'dz' and isinstance(v, Tensor)}

    def requires_grad_(self) -> 'Inputs':
        for tensor in self.tensors().values():
            tensor.requires_grad_()
        return self


def make_inputs(shape, dtype, device, layout=contiguous, residual=False, eps='number') -> Inputs:
    """Random inputs; dz is 0 where y is so near tau that rounding decides which one wins."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def randn(*size, dtype=wide):
        return torch.randn(*size, dtype=torch.float64, device=device).to(dtype)

    channels = shape[1]
    eps_of = {'number': 1e-3, 'one': 1e-2 * randn(1), 'channel': 1e-2 * randn(channels)}
    inputs = Inputs(
        x=layout(randn(*shape, dtype=dtype)),
        weight=randn(channels),
        bias=randn(channels),
        tau=randn(channels),
        eps=eps_of[eps],
        residual=layout(randn(*shape, dtype=dtype)) if residual else None,
        dz=randn(*shape, dtype=dtype),
    )
    y, _ = forward(inputs)
    near = (y - rows(inputs.tau.double(), inputs.x)).abs() < 1e-4 * (1 + y.abs())
    inputs.dz[near] = 0
    inputs.dz = layout(inputs.dz)
    return inputs


def rows(param: Tensor, x: Tensor) -> Tensor:
    return param.reshape(1, -1, *[1] * (x.dim() - 2))


def forward(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Eq. (1)-(2): y = gamma * x / sqrt(nu^2 + |eps|) + beta [+ residual], and 1 / sqrt(...)."""
    x = inputs.x.detach().double()
    nu2 = x.flatten(2).square().mean(2) if x.dim() > 2 else x.square()
    nu2 = nu2.reshape(*x.shape[:2], *[1] * (x.dim() - 2))
    eps = inputs.eps
    eps = rows(eps.detach().double(), x).abs() if isinstance(eps, Tensor) else abs(eps)
    r = 1 / (nu2 + eps).sqrt()
    y = rows(inputs.weight.detach().double(), x) * x * r + rows(inputs.bias.detach().double(), x)
    if inputs.residual is not None:
        y = y + inputs.residual.detach().double()
    return y, r


def expected(inputs: Inputs) -> dict[str, Tensor]:
    """Z of eq. (3), and the gradient of sum(dz * z) for each argument, by hand (section 3.2)."""
    y, r = forward(inputs)
    x, dz = inputs.x.detach().double(), inputs.dz.double()
    weight = rows(inputs.weight.detach().double(), x)
    tau = rows(inputs.tau.detach().double(), x)
    kept = (y >= tau).double()
    g = dz * kept  # eq. (4): the gradient goes to y, or to tau
    x_hat = x * r
    spatial = tuple(range(2, x.dim()))
    samples = (0, *spatial)
    mean = (g * x_hat).mean(spatial, keepdim=True) if spatial else g * x_hat
    out = {
        'z': torch.where(kept.bool(), y, tau),
        'x': weight * r * (g - x_hat * mean),
        'weight': (g * x_hat).sum(samples),
        'bias': g.sum(samples),
        'tau': (dz * (1 - kept)).sum(samples),
    }
    if isinstance(inputs.eps, Tensor):
        eps = inputs.eps.detach().double()
        deps = (-0.5 * weight * r**2 * g * x_hat).sum(samples) * eps.sign()
        out['eps'] = deps.sum().reshape(1) if eps.numel() == 1 else deps
    if inputs.residual is not None:
        out['residual'] = g
    return out


def assert_matches(name: str, actual: Tensor, desired: Tensor, terms: int = 1) -> None:
    """Compare with fp64 by the scale of the tensor; ``terms`` is the length of a sum in it."""
    assert actual.shape == desired.shape, name
    if actual.numel() == 0:
        return
    limit = TOLERANCE[actual.dtype] * (1 + desired.abs().max().item()) * max(1, terms) ** 0.25
    error = (actual.detach().double() - desired).abs().max().item()
    assert error <= limit, f'{name}: error {error:.3g}, limit {limit:.3g}'


def assert_op_matches(op, inputs: Inputs) -> None:
    """Run ``op`` forward and backward and compare everything with :func:`expected`."""
    inputs.requires_grad_()
    assert_all_match(op(*inputs.args()), inputs.tensors(), inputs.dz, expected(inputs))


def assert_all_match(z: Tensor, tensors: dict, dz: Tensor, desired: dict) -> None:
    """Compare ``z`` and its gradient for each of ``tensors`` with those in ``desired``."""
    assert z.dtype == tensors['x'].dtype
    assert_matches('z', z, desired['z'])
    grads = torch.autograd.grad(z, list(tensors.values()), dz)
    for (name, tensor), grad in zip(tensors.items(), grads, strict=True):
        assert grad.dtype == tensor.dtype, name
        terms = 1 if tensor.shape == z.shape else z.numel() // max(1, z.shape[1])
        assert_matches(name, grad, desired[name], terms)
