"""Build and install mmdet_frn.

Neither torch nor an mm* package stands in ``install_requires``: pip would lay OpenMMLab's packages
over the OneDL fork of the same import names, or replace the torch that mmcv was compiled against.
They are installed first (``make setup``, or by hand in the order of constraints.txt), so the build
runs in the environment that it is for: ``pip install --no-build-isolation -e .``.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent

try:
    import torch  # noqa: F401  what is built here belongs to one torch
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


setup(
    name='mmdet_frn',
    version=version(),
    description='Filter Response Normalization and the Thresholded Linear Unit for MMDetection',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmdet_frn', 'mmdet_frn.*']),
    install_requires=['numpy', 'matplotlib'],
    extras_require={
        'onedl': pinned('onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection'),
        'openmmlab': ['mmengine>=0.10.7,<1', 'mmcv>=2.1,<2.2', 'mmdet>=3.3,<3.4'],
        'tests': pinned('pytest', 'hypothesis', 'timm', 'ruff', 'clang-format'),
    },
    zip_safe=False,
)
