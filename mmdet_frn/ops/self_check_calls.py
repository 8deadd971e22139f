"""What the self-check of a GPU runs of each op, and compares with plain PyTorch in fp64 there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from . import reference

Op = Callable[..., Tensor]
Tensors = dict[str, Tensor]

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
# Largest error allowed, relative to a tensor's scale; the longest sums need the most.
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 1e-4,
    torch.float16: 5e-3,
    torch.bfloat16: 3e-2,
}
# Each tensor is a wave of its own; those not of x's shape have a number per channel.
WAVES = {
    'x': 0.7, 'weight': 0.3, 'bias': 0.5, 'tau': 2.3, 'eps': 1.3, 'residual': 1.1, 'dz': 1.9,
    'kappa': 2.9, 'alpha': 1.7, 'v': 0.9,
}  # fmt: skip
LIKE_X = ('x', 'residual', 'dz')
EPS = 1e-3


class Call(NamedTuple):
    """One call of an op.

    Attributes:
        shape: of x; channels_last if it has four dimensions.
        act: the activation after the norm: 'tlu', 'affine_tlu', 'relu' or ''.
        tensors: names of the arguments that are tensors.
        run: calls the op with the tensors.
        norm: the op without residual and activation, in plain PyTorch; x if nothing is left.
    """

    shape: tuple[int, ...]
    act: str
    tensors: tuple[str, ...]
    run: Callable[[Op, Tensors], Tensor]
    norm: Callable[[Tensors], Tensor]


def _frn(*shape: int) -> Call:
    def run(op: Op, t: Tensors) -> Tensor:
        return op(t['x'], t['weight'], t['bias'], t['eps'], 0.0, t['tau'], t['residual'])

    def norm(t: Tensors) -> Tensor:
        return reference.frn(t['x'], t['weight'], t['bias'], t['eps'])

    return Call(shape, 'tlu', ('x', 'weight', 'bias', 'tau', 'eps', 'residual'), run, norm)


def _group_norm(
    *shape: int, groups: int, act: str = '', centered: bool = True, residual: bool = False
) -> Call:
    def run(op: Op, t: Tensors) -> Tensor:
        params = (t['weight'], t['bias'], groups, EPS, centered, t.get('tau'), act == 'relu')
        return op(t['x'], *params, t.get('residual'))

    def norm(t: Tensors) -> Tensor:
        return reference.group_norm(t['x'], groups, t['weight'], t['bias'], EPS, centered)

    names = ('x', 'weight', 'bias', *['tau'] * (act == 'tlu'), *['residual'] * residual)
    return Call(shape, act, names, run, norm)


def _evonorm(*shape: int, groups: int, with_v: bool = True) -> Call:
    def run(op: Op, t: Tensors) -> Tensor:
        return op(t['x'], t['weight'], t['bias'], groups, EPS, t.get('v'))

    def norm(t: Tensors) -> Tensor:
        return reference.evonorm_s0(t['x'], groups, t['weight'], t['bias'], t.get('v'), EPS)

    return Call(shape, '', ('x', 'weight', 'bias', *['v'] * with_v), run, norm)


def _pointwise(function: str, *shape: int) -> Call:
    names = {'tlu': ['tau'], 'affine_tlu': ['kappa', 'tau'], 'dyt': ['weight', 'bias', 'alpha']}

    def run(op: Op, t: Tensors) -> Tensor:
        return op(t['x'], [t[name] for name in names[function]], function)

    def norm(t: Tensors) -> Tensor:
        if function == 'dyt':
            return reference.dyt(t['x'], t['weight'], t['bias'], t['alpha'])
        return t['x']

    act = '' if function == 'dyt' else function
    return Call(shape, act, ('x', *names[function]), run, norm)


# Of each op with CUDA kernels: calls that reach every kernel in every dtype.
CALLS = {
    'frn': (
        # Rows of a few lanes, more lanes, a block, a cluster, chunks; whole 16-byte packs and not.
        _frn(3, 5, 9),
        _frn(2, 3, 640),
        _frn(1, 2, 6400),
        _frn(1, 2, 40001),
        _frn(1, 1, 600000),
        # Slabs of channels, chunks of pixels.
        _frn(2, 64, 13, 11),
        _frn(2, 33, 13, 11),
        _frn(1, 64, 41, 43),
        _frn(1, 33, 41, 43),
    ),
    'group_norm': (
        # Groups in a few lanes, a block, a cluster, chunks; whole 16-byte packs and not.
        _group_norm(3, 6, 9, groups=3, act='tlu', residual=True),
        _group_norm(3, 6, 16, groups=3, act='relu'),
        _group_norm(2, 6, 640, groups=2, act='tlu'),
        _group_norm(2, 6, 641, groups=2, centered=False, residual=True),
        _group_norm(2, 300, 64, groups=1, act='relu'),
        _group_norm(1, 4, 20001, groups=2, centered=False, act='relu', residual=True),
        _group_norm(1, 2, 150001, groups=1, act='tlu'),
        _group_norm(2, 64, 13, 11, groups=32, act='relu', residual=True),
        _group_norm(2, 64, 37, 41, groups=4, centered=False, act='tlu'),
        _group_norm(2, 33, 13, 11, groups=3, act='tlu', residual=True),
        _group_norm(2, 33, 37, 41, groups=33, residual=True),
    ),
    'evonorm_s0': (
        # As those of group_norm.
        _evonorm(3, 6, 9, groups=3),
        _evonorm(3, 6, 16, groups=3, with_v=False),
        _evonorm(2, 6, 640, groups=2),
        _evonorm(2, 6, 641, groups=2),
        _evonorm(2, 300, 64, groups=1),
        _evonorm(1, 4, 20001, groups=2, with_v=False),
        _evonorm(1, 2, 150001, groups=1),
        _evonorm(2, 64, 13, 11, groups=32),
        _evonorm(2, 33, 13, 11, groups=3),
        _evonorm(2, 33, 37, 41, groups=33, with_v=False),
    ),
    'pointwise': tuple(
        # Rows of a few lanes, of a part and of several, whole 16-byte packs and not.
        _pointwise(function, *shape)
        for function in ('tlu', 'affine_tlu', 'dyt')
        for shape in (
            (3, 5, 9),
            (2, 3, 640),
            (1, 2, 40001),
            (1, 2, 80000),
            (2, 64, 13, 11),
            (2, 33, 37, 41),
        )
    ),
}


def find_deviation(name: str, device: torch.device, op: Op | None = None) -> str:
    """Make all calls of an op, forward and backward, in each dtype.

    Args:
        name: of the op, a key of ``CALLS``.
        device: where to run.
        op: the fused op. Default that of ``torch.ops.mmdet_frn``.

    Returns:
        The first deviation from the reference in one line; '' if there is none.
    """
    op = op or getattr(torch.ops.mmdet_frn, name).default
    for dtype in DTYPES:
        for call in CALLS[name]:
            for tensor, error in _errors(op, call, dtype, device):
                if not error <= TOLERANCE[dtype]:  # also a NaN
                    kind = str(dtype).removeprefix('torch.')
                    size = 'x'.join(map(str, call.shape))
                    return f'{tensor} of {kind} {size} is off by {error:.2g}'
    return ''


def _errors(
    op: Op, call: Call, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[str, float]]:
    """Yield the relative error of z and of each gradient against the reference in fp64."""

    def wave(name: str) -> Tensor:
        of_x = name in LIKE_X
        size = torch.Size(call.shape if of_x else call.shape[1:2])
        phase = torch.arange(1, size.numel() + 1, dtype=torch.float64, device=device)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        # Not about 0, which a norm that forgets the mean would leave unseen.
        return (2 * torch.sin(WAVES[name] * phase) + 0.25).view(size).to(dtype if of_x else wide)

    def lay_out(t: Tensor) -> Tensor:
        return t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t

    given = {name: wave(name) for name in call.tensors}
    exact = {name: t.double().requires_grad_() for name, t in given.items()}
    y = call.norm(exact)
    if 'residual' in exact:
        y = y + exact['residual']
    dz, expected = wave('dz'), y
    threshold: float | Tensor | None = None
    if call.act == 'relu':
        expected, threshold = y.relu(), 0.0
    elif call.act == 'tlu':
        expected = reference.tlu(y, exact['tau'])
        threshold = exact['tau'].view(1, -1, *[1] * (y.dim() - 2))
    elif call.act == 'affine_tlu':
        expected = reference.affine_tlu(y, exact['kappa'], exact['tau'])
        kappa, tau = (exact[n].view(1, -1, *[1] * (y.dim() - 2)) for n in ('kappa', 'tau'))
        threshold = kappa * y + tau
    if threshold is not None:  # rounding decides what is near it: no gradient there
        dz[(y - threshold).abs() < 1e-3] = 0
    given = {name: lay_out(t).detach().requires_grad_() for name, t in given.items()}
    actual = call.run(op, given)
    pairs = zip(
        (actual, *torch.autograd.grad(actual, list(given.values()), lay_out(dz))),
        (expected, *torch.autograd.grad(expected, list(exact.values()), dz.double())),
        strict=True,
    )
    for name, (a, e) in zip(('z', *(f'd{name}' for name in given)), pairs, strict=True):
        error = (a.detach().double() - e).abs().max() / (1 + e.abs().max())
        yield name, error.item()
