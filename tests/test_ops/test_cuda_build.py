"""When the CUDA sources are built, and that they compile, link and do not spill registers."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

CSRC = Path(__file__).resolve().parents[2] / 'mmdet_frn' / 'ops' / 'csrc'
# The sources of sm_80 are those of sm_75 but for bf16, and of sm_90 but for clusters.
ARCHS = ('75', '90')
ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)'")
SPILL = re.compile(r'(\d+) bytes spill stores')


def require_nvcc() -> str:
    nvcc = shutil.which('nvcc')
    if nvcc is None:
        pytest.skip('no nvcc on PATH')
    if torch.version.cuda is None:
        pytest.skip(f'torch {torch.__version__} is built without CUDA and brings no CUDA headers')
    release = subprocess.run([nvcc, '--version'], capture_output=True, text=True, check=True)
    found = re.search(r'release (\d+)\.', release.stdout)
    if found is None or found.group(1) != torch.version.cuda.split('.')[0]:
        pytest.skip(f'nvcc does not match CUDA {torch.version.cuda} of torch:\n{release.stdout}')
    return nvcc


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == 0, f'{" ".join(command)}\n{output}'
    return output


def parse_spills(report: str) -> dict[str, int]:
    """Bytes of spill stores of each kernel and architecture in the report of ``-Xptxas -v``."""
    spills = {}
    kernel = None
    for line in report.splitlines():
        if entry := ENTRY.search(line):
            kernel = f'sm_{entry.group(2)} {entry.group(1)}'
        elif kernel is not None and (spill := SPILL.search(line)):
            spills[kernel] = int(spill.group(1))
            kernel = None
    return spills


def test_parse_spills():
    report = (
        "ptxas info    : Compiling entry function 'quiet' for 'sm_80'\n"
        'ptxas info    : Function properties for quiet\n'
        '    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n'
        'ptxas info    : Used 64 registers, used 1 barriers\n'
        "ptxas info    : Compiling entry function 'loud' for 'sm_90'\n"
        'ptxas info    : Function properties for loud\n'
        '    32 bytes stack frame, 64 bytes spill stores, 48 bytes spill loads\n'
    )
    assert parse_spills(report) == {'sm_80 quiet': 0, 'sm_90 loud': 64}


@pytest.mark.slow
def test_cuda_sources_build(tmp_path):
    nvcc = require_nvcc()
    sources = sorted((CSRC / 'cuda').glob('*.cu'))
    assert sources, f'no CUDA sources in {CSRC}'
    includes = [f'-I{path}' for path in cpp_extension.include_paths()]
    archs = [f'-gencode=arch=compute_{arch},code=sm_{arch}' for arch in ARCHS]
    flags = [
        '-std=c++17',
        '-O3',
        '-Xcompiler=-fPIC',
        '-Xptxas=-v',
        *cpp_extension.COMMON_NVCC_FLAGS,
    ]
    objects = []
    spills = {}
    for source in sources:
        objects.append(str(tmp_path / f'{source.stem}.o'))
        command = [nvcc, '-c', str(source), '-o', objects[-1], *flags, *includes, *archs]
        spills.update(parse_spills(run(command)))
    for arch in ARCHS:
        assert any(kernel.startswith(f'sm_{arch} ') for kernel in spills), f'no report for {arch}'
    # Turing has no bf16 instructions: what emulates them costs a register or two too many.
    spilling = {
        kernel: count
        for kernel, count in spills.items()
        if count and not (kernel.startswith('sm_75 ') and 'bfloat16' in kernel)
    }
    assert not spilling, f'kernels that spill registers: {spilling}'

    libraries = [f'-L{path}' for path in cpp_extension.library_paths()]
    libraries += ['-lc10', '-lc10_cuda', '-ltorch_cpu', '-ltorch_cuda', '-ltorch']
    shared = ['-shared', '-Xlinker=--no-undefined', '-o', str(tmp_path / 'kernels.so')]
    run([nvcc, *shared, *objects, *libraries, *archs])


@pytest.fixture
def build_ops(monkeypatch, tmp_path):
    """Run setup.py with a toolkit in sight whose compiler fails, and return what was compiled."""
    nvcc = tmp_path / 'bin' / 'nvcc'
    nvcc.parent.mkdir()
    nvcc.write_text('#!/bin/sh\necho compute_80 compute_90 compute_130\n')
    nvcc.chmod(0o755)
    for name in ('FORCE_CUDA', 'MMDET_FRN_WITH_CUDA', 'TORCH_CUDA_ARCH_LIST'):
        monkeypatch.setenv(name, '')  # so that what setup.py sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv('MAX_JOBS', '1')
    monkeypatch.setattr(cpp_extension, 'CUDA_HOME', str(tmp_path))
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    builds = []

    def build_extensions(self):
        (library,) = self.extensions
        builds.append(library)
        library.compiled = [Path(source).suffix for source in library.sources]
        if '.cu' in library.compiled:
            raise RuntimeError('cusparse.h: No such file')

    def run(gpu: bool) -> list:
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
        monkeypatch.setattr(cpp_extension.BuildExtension, 'build_extensions', build_extensions)
        monkeypatch.setattr(
            cpp_extension.BuildExtension, 'run', lambda self: self.build_extensions()
        )
        monkeypatch.setattr(sys, 'argv', ['setup.py', 'build_ext'])
        runpy.run_path(str(CSRC.parents[2] / 'setup.py'))
        return [('.cu' in library.compiled, dict(library.define_macros)) for library in builds]

    return run


WITHOUT = (False, {})


def test_cuda_kernels_that_do_not_compile_are_left_out(build_ops, capfd):
    assert build_ops(gpu=True) == [WITHOUT, WITHOUT]  # one library, its second build
    error = capfd.readouterr().err
    assert error.count('WARNING') == 1
    assert 'cusparse.h: No such file' in error


def test_cuda_kernels_that_are_asked_for_must_compile(build_ops, monkeypatch):
    monkeypatch.setenv('FORCE_CUDA', '1')
    with pytest.raises((RuntimeError, SystemExit), match='cusparse'):
        build_ops(gpu=False)
    assert os.environ['TORCH_CUDA_ARCH_LIST'] == '8.0;9.0+PTX'


def test_no_gpu_no_cuda_kernels(build_ops, capfd):
    assert build_ops(gpu=False) == [WITHOUT]
    assert 'FORCE_CUDA=1' in capfd.readouterr().out


@pytest.mark.parametrize('name', ['FORCE_CUDA', 'MMDET_FRN_WITH_CUDA'])
def test_cuda_kernels_can_be_left_out(build_ops, monkeypatch, name):
    monkeypatch.setenv(name, '0')
    assert build_ops(gpu=True) == [WITHOUT]
