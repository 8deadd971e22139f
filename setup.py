"""Build and install mmdet_frn.

Neither torch nor an mm* package stands in ``install_requires``: pip would lay OpenMMLab's packages
over the OneDL fork of the same import names, or replace the torch that mmcv was compiled against.
They are installed first (``make setup``, or by hand in the order of constraints.txt), so the build
runs in the environment that it is for: ``pip install --no-build-isolation -e .``.
"""

import os
import re
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

ROOT = Path(__file__).resolve().parent
ONNX = ('onnx', 'onnxscript', 'onnxruntime')
TESTS = ('pytest', 'pytest-xdist', 'hypothesis', 'timm', 'ruff', 'clang-format')

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


def get_extensions() -> list[Extension]:
    """Return the library of the fused ops, mmdet_frn/ops/_ext.so; none if MMDET_FRN_WITH_OPS=0.

    With the CUDA kernels only if FORCE_CUDA=1 and there is a toolkit: they compile, but no GPU has
    run their tests yet, so that asking for them is a choice. Read as well: TORCH_CUDA_ARCH_LIST
    (default: the GPUs found; without any, 7.5 to 9.0) and MAX_JOBS.
    """
    if os.getenv('MMDET_FRN_WITH_OPS', '1') == '0':
        return []
    os.environ.setdefault('MAX_JOBS', str(default_max_jobs()))
    with_cuda = CUDA_HOME is not None and os.getenv('FORCE_CUDA', '0') == '1'
    folders = ['.', 'cpu']
    macros = []
    # OpenMP's symbols come from the runtime that torch brings: linking one would load a second.
    flags = {'cxx': ['-O3'] + (['-fopenmp'] if sys.platform == 'linux' else [])}
    if with_cuda:
        if not torch.cuda.is_available():
            os.environ.setdefault('TORCH_CUDA_ARCH_LIST', '7.5;8.0;8.6;9.0+PTX')
        folders.append('cuda')
        macros.append(('MMDET_FRN_WITH_CUDA', None))
        flags['nvcc'] = ['-O3']
    csrc = Path('mmdet_frn/ops/csrc')
    sources = [
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in sorted((ROOT / csrc / folder).iterdir())
        if path.suffix in {'.cpp', '.cu'}
    ]
    headers = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / csrc).rglob('*.*h'))]
    extension = CUDAExtension if with_cuda else CppExtension
    return [
        extension(
            name='mmdet_frn.ops._ext',
            sources=sources,
            depends=headers,
            define_macros=macros,
            extra_compile_args=flags,
            py_limited_api=True,  # no Python in it: it is loaded with torch.ops.load_library
        )
    ]


setup(
    name='mmdet_frn',
    version=version(),
    description='Filter Response Normalization and the Thresholded Linear Unit for MMDetection',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmdet_frn', 'mmdet_frn.*']),
    install_requires=['filelock', 'numpy', 'matplotlib', 'tqdm'],
    extras_require={
        'onedl': pinned('onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection'),
        'openmmlab': ['mmengine>=0.10.7,<1', 'mmcv>=2.1,<2.2', 'mmdet>=3.3,<3.4'],
        'onnx': pinned(*ONNX),
        'tests': pinned(*ONNX, *TESTS),
    },
    ext_modules=get_extensions(),
    cmdclass=dict(build_ext=BuildExtension.with_options(no_python_abi_suffix=True)),
    zip_safe=False,
)
