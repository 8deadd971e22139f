"""CPU time of the fused ops over that of their composites in PyTorch, eager and compiled.

python -m benchmarks.ratios [--ops ...] [--maps 256x64x64 ...] [--layouts NCHW channels_last]

For a machine that others use: one thread, CPU time of the thread, calls in turns, the shortest of
each. A ratio below 1 is in favour of the fused op. What compiles does so for each feature map.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import geometric_mean

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import DTYPES, LAYOUTS
from mmdet_frn import ops
from mmdet_frn.ops import reference

MAPS = ('256x128x128', '1024x64x64', '256x64x64', '2048x32x32', '256x32x32', '256x16x16', '256x8x8')
Op = Callable[..., Tensor]


def _group_norm_relu(x: Tensor, weight: Tensor, bias: Tensor, *, groups: int) -> Tensor:
    return F.group_norm(x, groups, weight, bias).relu_()


def _grouped(op: Op, x: Tensor, *params: Tensor) -> Tensor:
    return op(x, 32, *params)


# name: the fused op, its composite, and how many parameters (C,) both take after x.
OPS: dict[str, tuple[Op, Op, int]] = {
    'evonorm-s0': (partial(_grouped, ops.evonorm_s0), partial(_grouped, reference.evonorm_s0), 3),
    'evonorm-s0a-no-act': (
        partial(_grouped, ops.evonorm_s0),
        partial(_grouped, reference.evonorm_s0),
        2,
    ),
    'gn-relu': (
        lambda x, weight, bias: ops.group_norm(x, 32, weight, bias, relu=True),
        partial(_group_norm_relu, groups=32),
        2,
    ),
    'ln-relu': (
        lambda x, weight, bias: ops.group_norm(x, 1, weight, bias, relu=True),
        partial(_group_norm_relu, groups=1),
        2,
    ),
    'in-relu': (
        lambda x, weight, bias: ops.group_norm(x, x.shape[1], weight, bias, relu=True),
        lambda x, weight, bias: F.instance_norm(x, weight=weight, bias=bias).relu_(),
        2,
    ),
    'gn-tlu': (
        lambda x, weight, bias, tau: ops.group_norm(x, 32, weight, bias, tau=tau),
        lambda x, weight, bias, tau: reference.tlu(F.group_norm(x, 32, weight, bias), tau),
        3,
    ),
    'tlu': (ops.tlu, reference.tlu, 1),
    'affine-tlu': (ops.affine_tlu, reference.affine_tlu, 2),
    'dyt': (ops.dyt, reference.dyt, 3),
}


def times(
    functions: dict[str, Op], x: Tensor, params: list[Tensor], training: bool, rounds: int
) -> dict[str, float]:
    """Return the shortest CPU time of each function in seconds, of ``rounds`` calls in turns."""
    dz = torch.randn_like(x)

    def call(function: Op) -> None:
        with torch.set_grad_enabled(training):
            z = function(x, *params)
            if training:
                torch.autograd.grad(z, (x, *params), dz)

    for function in functions.values():
        for _ in range(2):
            call(function)
    best = dict.fromkeys(functions, float('inf'))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.thread_time()
            call(function)
            best[name] = min(best[name], time.thread_time() - start)
    return best


def measure(name: str, shape: str, args: argparse.Namespace, layout: str) -> dict[str, float]:
    """Print and return the ratios of an op on a feature map: '<mode> / <composite>' to ratio."""
    fused, composite, count = OPS[name]
    functions = {'fused': fused, 'eager': composite}
    if not args.no_compile:
        torch._dynamo.reset()
        functions['compiled'] = torch.compile(composite, dynamic=False, fullgraph=True)
    size = (2, *map(int, shape.split('x')))
    x = torch.randn(size).to(DTYPES[args.dtype], memory_format=LAYOUTS[layout]).requires_grad_()
    params = [torch.rand(size[1]).requires_grad_() for _ in range(count)]
    ratios = {}
    for mode in ('forward', 'training'):
        best = times(functions, x, params, mode == 'training', args.rounds)
        ratios |= {f'{mode} / {k}': best['fused'] / t for k, t in best.items() if k != 'fused'}
    print(name, layout, shape, *(f'{k} {v:.2f}' for k, v in ratios.items()), flush=True)
    return ratios


def main() -> None:
    """Measure, and print the geometric means and ranges over the feature maps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--ops', nargs='+', choices=OPS, default=list(OPS))
    parser.add_argument('--maps', nargs='+', default=MAPS, help='channels x height x width')
    parser.add_argument('--layouts', nargs='+', choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument('--dtype', choices=DTYPES, default='fp32')
    parser.add_argument('--rounds', type=int, default=6)
    parser.add_argument('--no-compile', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.ops:
        for layout in args.layouts:
            rows = [measure(name, shape, args, layout) for shape in args.maps]
            for key in rows[0]:
                values = [row[key] for row in rows]
                mean = f'{geometric_mean(values):.2f} ({min(values):.2f} to {max(values):.2f})'
                print(f'= {name} {layout} {key}: {mean}', flush=True)


if __name__ == '__main__':
    main()
