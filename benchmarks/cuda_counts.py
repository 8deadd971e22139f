"""Count what the CUDA kernels do, without a GPU: launches, passes over memory, registers.

python -m benchmarks.cuda_counts [--op OP] [--registers] [--dtype fp16]

Counted, not timed: the emulation of tests/test_ops/cuda_emulation executes the launchers for an
H100-like device and counts the bytes that threads read and write. A pass is as many bytes as the
feature map has; least are 2 forward and 3 backward. Every thread's reads count, also of parameters
and partial sums, which caches serve: 0.2 of a pass in the row kernels, up to 1 in a kernel for
channels_last maps, where a thread holds the parameters of 8 channels. The ops are FRN+TLU, GN+TLU
and EvoNorm-S0 with 32 groups, and DyT for the pointwise functions. --registers asks nvcc (sm_90)
about all kernels, which takes some minutes.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from terminaltables import AsciiTable

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'tests/test_ops/cuda_emulation'), str(ROOT / 'tests/test_ops')]

import build_library  # noqa: E402
import evonorm_equations  # noqa: E402
import frn_equations  # noqa: E402
import group_equations  # noqa: E402
import pointwise_equations  # noqa: E402
from emulator import Emulator, Launch  # noqa: E402

DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}
# Feature maps of ResNet-101-FPN at 1024 x 1024: name, channels, height and width.
MAPS = (
    ('stem', 64, 512),
    ('C2', 256, 256),
    ('C3', 512, 128),
    ('C4', 1024, 64),
    ('P5', 256, 32),
    ('P6', 256, 16),
    ('P7', 256, 8),
)
REGISTERS, THREADS = 65536, 2048  # of a multiprocessor of an H100


def shape_of(channels: int, size: int, layout: str, op: str = 'frn') -> tuple[int, ...]:
    """Return a part of the map that is quick to emulate and is treated as the whole map is.

    In (N, C, H, W) memory a row is a row whatever the others are, and one of the groups is a group;
    in channels_last memory 4096 pixels of 256 channels give all but the number of blocks.
    """
    if layout == 'contiguous':
        return 1, channels // 32 if op in {'group_norm', 'evonorm_s0'} else 2, size, size
    return 1, min(channels, 256), min(size, 64), min(size, 64)


def count(
    emulator: Emulator, shape: tuple[int, ...], layout: str, dtype: str, op: str = 'frn'
) -> list[list[str]]:
    """Return a row of cells for each direction: launches, passes, the largest kernel's form."""
    lay_out = frn_equations.LAYOUTS[layout]
    if op == 'frn':
        inputs = frn_equations.make_inputs(shape, DTYPES[dtype], 'cpu', lay_out)
    elif op == 'pointwise':
        inputs = pointwise_equations.make_inputs('dyt', shape, DTYPES[dtype], lay_out)
    else:
        groups = 32 if layout == 'channels_last' else 1
        equations = evonorm_equations if op == 'evonorm_s0' else group_equations
        inputs = equations.make_inputs(shape, groups, DTYPES[dtype], layout=lay_out)
    emulator.run(inputs)
    size = torch.Size(shape).numel() * DTYPES[dtype].itemsize
    rows = []
    first_backward = next(
        i for i, launch in enumerate(emulator.launches) if '::backward_' in launch.kernel
    )
    for direction, launches in (
        ('forward', emulator.launches[:first_backward]),
        ('backward', emulator.launches[first_backward:]),
    ):
        passes = sum(launch.read + launch.written for launch in launches) / size
        rows.append([direction, str(len(launches)), f'{passes:.2f}', describe(launches[0])])
    return rows


def describe(launch: Launch) -> str:
    """Return a launch's kernel and block, as 'row_kernel 8 x 512'."""
    name = re.search(r'::(?:forward|backward)_(\w+)<', launch.kernel).group(1)
    return f'{name}, {launch.threads} threads' + (
        f', cluster of {launch.cluster}' if launch.cluster > 1 else ''
    )


def read_registers(nvcc: str) -> list[list[str]]:
    """Return a row of cells for each kernel that nvcc compiles for sm_90."""
    from torch.utils.cpp_extension import COMMON_NVCC_FLAGS, include_paths

    rows = []
    include = [f'-I{path}' for path in include_paths()]
    flags = ['-std=c++17', '-O3', '-arch=sm_90', '-cubin', '--resource-usage', *COMMON_NVCC_FLAGS]
    for source in sorted((build_library.CSRC / 'cuda').glob('*.cu')):
        with tempfile.TemporaryDirectory() as folder:
            command = [nvcc, *flags, *include, str(source), '-o', f'{folder}/cubin']
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f'{" ".join(command)}\n{done.stderr}')
        mangled = re.findall(r"entry function '(\S+)'", done.stderr)
        found = re.findall(
            r'(\d+) bytes spill stores[^\n]*\n[^\n]*Used (\d+) registers', done.stderr
        )
        filt = subprocess.run(['c++filt'], input='\n'.join(mangled), capture_output=True, text=True)
        for name, (spilled, used) in zip(filt.stdout.splitlines(), found, strict=True):
            # Allocated by 8 for each thread.
            threads = REGISTERS // (-(-int(used) // 8) * 8)
            share = min(THREADS, threads // 32 * 32) / THREADS
            plain = name.replace('(mmdet_frn::Scope)', '').partition('(')[0]
            short = plain.replace('void ', '').replace('mmdet_frn::', '')
            rows.append([short, used, spilled, f'{share:.0%}'])
    return rows


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        '--op',
        choices=['frn', 'group_norm', 'evonorm_s0', 'pointwise'],
        default='frn',
        help='(%(default)s)',
    )
    add('--dtype', choices=list(DTYPES), default='fp16', help='(%(default)s)')
    add('--registers', action='store_true', help='ask nvcc for registers and spills too')
    args = parser.parse_args()
    if build_library.compiler() is None:
        parser.error('no C++ compiler: install g++ or name one in CXX')
    rows = [['Map', 'Layout', 'Direction', 'Launches', 'Passes', 'First kernel']]
    with tempfile.TemporaryDirectory() as folder:
        emulator = Emulator(build_library.build(Path(folder)))
        for name, channels, size in MAPS:
            for layout in ('contiguous', 'channels_last'):
                shape = shape_of(channels, size, layout, args.op)
                counted = count(emulator, shape, layout, args.dtype, args.op)
                rows += [[name, layout, *r] for r in counted]
    print(f'{args.op}, {args.dtype}, counted for a device like an H100; not timed')
    print(AsciiTable(rows).table)
    if args.registers:
        nvcc = shutil.which('nvcc')
        if nvcc is None:
            parser.error('--registers needs nvcc on PATH')
        heading = ['Kernel', 'Registers', 'Spilled bytes', 'Most of the threads resident']
        print(AsciiTable([heading, *read_registers(nvcc)]).table)
    return 0


if __name__ == '__main__':
    sys.exit(main())
