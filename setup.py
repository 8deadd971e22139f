"""Build and install mmdet_frn.

Neither torch nor an mm* package stands in ``install_requires``: pip would lay OpenMMLab's packages
over the OneDL fork of the same import names, or replace the torch that mmcv was compiled against.
They are installed first (``make setup``, or by hand in the order of constraints.txt), so the build
runs in the environment that it is for: ``pip install --no-build-isolation -e .``.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

ROOT = Path(__file__).resolve().parent
# Compute capabilities of the GPUs in use, Turing to Blackwell.
ARCHITECTURES = ('7.5', '8.0', '8.6', '8.9', '9.0', '10.0', '12.0')
ONNX = ('onnx', 'onnxscript', 'onnxruntime')
TESTS = (
    'pytest',
    'pytest-xdist',
    'hypothesis',
    'timm',
    'ruff',
    'mypy',
    'clang-format',
    'codespell',
)
DIST = ('build', 'twine')

try:
    import torch  # what is built here belongs to one torch
    from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CppExtension, CUDAExtension
except ImportError as error:
    raise SystemExit(
        'mmdet_frn is built against torch, which is not importable here: install torch first, '
        'then run `pip install --no-build-isolation -e .`'
    ) from error


def version() -> str:
    """Return the version written in mmdet_frn/version.py."""
    text = (ROOT / 'mmdet_frn' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '([^']+)'$", text, re.MULTILINE).group(1)


def pinned(*names: str) -> list[str]:
    """Return ``name==version`` for each name as constraints.txt pins it."""
    lines = (ROOT / 'constraints.txt').read_text(encoding='utf-8').splitlines()
    pins = {line.partition('==')[0]: line for line in lines if '==' in line}
    return [pins[name] for name in names]


def default_max_jobs() -> int:
    """Return how many compilers fit the cores and the free memory, at 2 GB for each."""
    jobs = os.cpu_count() or 1
    if 'SC_AVPHYS_PAGES' in os.sysconf_names:
        free = os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
        jobs = min(jobs, free // 2**31)
    return max(1, jobs)


def wants_cuda() -> bool:
    """Tell whether to build the CUDA kernels, and say so where a toolkit is there but no GPU.

    By default they are built where torch, a toolkit and a GPU are there. FORCE_CUDA=1 builds them
    without a GPU, FORCE_CUDA=0 or MMDET_FRN_WITH_CUDA=0 leaves them out.
    """
    if os.getenv('FORCE_CUDA') == '0' or os.getenv('MMDET_FRN_WITH_CUDA') == '0':
        return False
    if torch.version.cuda is None or CUDA_HOME is None:
        return False
    if os.getenv('FORCE_CUDA') == '1' or torch.cuda.is_available():
        return True
    print(
        'mmdet_frn: torch finds no GPU here, so the CUDA kernels are not built; '
        'FORCE_CUDA=1 builds them for all common GPUs'
    )
    return False


def known_architectures() -> str:
    """Return a TORCH_CUDA_ARCH_LIST of the common GPUs that the toolkit compiles for, plus PTX."""
    nvcc = [str(Path(CUDA_HOME) / 'bin' / 'nvcc'), '--list-gpu-arch']
    listed = subprocess.run(nvcc, capture_output=True, text=True).stdout.split()
    known = [arch for arch in ARCHITECTURES if f'compute_{arch.replace(".", "")}' in listed]
    return ';'.join(known or ARCHITECTURES[:5]) + '+PTX'


def ops_library(with_cuda: bool) -> Extension:
    """Return the library of the fused ops, mmdet_frn/ops/_ext.so."""
    # OpenMP's symbols come from the runtime that torch brings: linking one would load a second.
    flags = {'cxx': ['-O3'] + (['-fopenmp'] if sys.platform == 'linux' else [])}
    if '-g' not in os.getenv('CFLAGS', ''):
        flags['cxx'].append('-g0')  # python's own -g makes the library ten times as large
    if with_cuda:
        flags['nvcc'] = ['-O3']
    csrc = Path('mmdet_frn/ops/csrc')
    sources = [
        path.relative_to(ROOT).as_posix()
        for folder in ('.', 'cpu', *(['cuda'] if with_cuda else []))
        for path in sorted((ROOT / csrc / folder).iterdir())
        if path.suffix in {'.cpp', '.cu'}
    ]
    headers = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / csrc).rglob('*.*h'))]
    return (CUDAExtension if with_cuda else CppExtension)(
        name='mmdet_frn.ops._ext',
        sources=sources,
        depends=headers,
        define_macros=[('MMDET_FRN_WITH_CUDA', None)] if with_cuda else [],
        extra_compile_args=flags,
        py_limited_api=True,  # no Python in it: it is loaded with torch.ops.load_library
    )


def get_extensions() -> list[Extension]:
    """Return the library of the fused ops; nothing if MMDET_FRN_WITH_OPS=0.

    Read as well: TORCH_CUDA_ARCH_LIST (default: the GPUs found, else the common ones) and MAX_JOBS.
    """
    if os.getenv('MMDET_FRN_WITH_OPS', '1') == '0':
        return []
    compiler = (os.getenv('CXX') or 'c++').split()[0]
    if sys.platform != 'win32' and shutil.which(compiler) is None:
        print(
            f'mmdet_frn: no C++ compiler ({compiler} is not on PATH): the layers will run on their '
            f'slower reference ops; install one, and install this again'
        )
        return []
    os.environ.setdefault('MAX_JOBS', str(default_max_jobs()))
    with_cuda = wants_cuda()
    if with_cuda and not torch.cuda.is_available():
        os.environ.setdefault('TORCH_CUDA_ARCH_LIST', known_architectures())
    return [ops_library(with_cuda)]


class BuildOps(BuildExtension.with_options(no_python_abi_suffix=True)):
    """Builds the library without CUDA kernels where they do not compile, unless FORCE_CUDA=1."""

    def build_extensions(self) -> None:
        """Build; on failure with CUDA kernels, build again without."""
        try:
            super().build_extensions()
        except Exception as error:
            library = self.extensions[0]
            if os.getenv('FORCE_CUDA') == '1' or not any(map(is_cuda, library.sources)):
                raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print(
                f'mmdet_frn: WARNING: the CUDA kernels do not compile with {CUDA_HOME} ({reason}; '
                f'the compiler says more above). Building without them: FRN runs on its slower '
                f'reference ops on a GPU. FORCE_CUDA=1 stops here instead.',
                file=sys.stderr,
            )
            plain = ops_library(with_cuda=False)
            for name in ('sources', 'define_macros', 'include_dirs', 'library_dirs', 'libraries'):
                setattr(library, name, getattr(plain, name))
            library.extra_compile_args = plain.extra_compile_args
            super().build_extensions()


def is_cuda(source: str) -> bool:
    """Tell whether a source is one that nvcc compiles."""
    return source.endswith('.cu')


setup(
    name='mmdet_frn',
    version=version(),
    description='Filter Response Normalization and the Thresholded Linear Unit for MMDetection',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmdet_frn', 'mmdet_frn.*']),
    install_requires=['filelock', 'numpy', 'matplotlib', 'tqdm'],
    extras_require={
        'onedl': pinned('onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection'),
        'openmmlab': ['mmengine>=0.10.7,<1', 'mmcv>=2.1,<2.2', 'mmdet>=3.3,<3.4'],
        'onnx': pinned(*ONNX),
        'tests': pinned(*ONNX, *TESTS, *DIST),
    },
    ext_modules=get_extensions(),
    cmdclass=dict(build_ext=BuildOps),
    zip_safe=False,
)
