"""Report the versions and compiled parts that mmdet_frn runs on: python -m mmdet_frn.collect_env.

A report is most wanted where something is broken, so nothing that fails to import ends it.
"""

import importlib
import platform
import sys
from collections.abc import Callable
from importlib import metadata

# The OneDL fork and upstream share their import names; both installed lie over one another.
DISTRIBUTIONS = {
    'torch': ('torch',),
    'torchvision': ('torchvision',),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
}


def attempt(probe: Callable[[], str]) -> str:
    """Return a probe's answer, or why it has none: ``not installed`` or the error in one line."""
    try:
        return probe()
    except Exception as error:  # whatever a broken package raises belongs into the report
        if isinstance(error, ModuleNotFoundError) and error.name in DISTRIBUTIONS:
            return f'{error.name} is not installed'
        message = (str(error).strip().splitlines() or ['no message'])[0]
        return f'broken: {type(error).__name__}: {message}'


def import_problem(name: str) -> str:
    """Return why a module does not import; nothing if it does."""

    def probe() -> str:
        importlib.import_module(name)
        return ''

    return attempt(probe)


def describe_package(name: str) -> str:
    """Return an installed package's version and distribution names, and that it imports.

    Args:
        name: import name, a key of ``DISTRIBUTIONS``.
    """
    found = []
    for distribution in DISTRIBUTIONS[name]:
        try:
            found.append(f'{metadata.version(distribution)} ({distribution})')
        except metadata.PackageNotFoundError:
            continue
    if not found:
        return 'not installed'
    conflict = ', which overwrite each other: remove one' if len(found) > 1 else ''
    problem = import_problem(name)
    return ' and '.join(found) + conflict + (f', {problem}' if problem else '')


def describe_mmcv_ops() -> str:
    """Return whether mmcv's ops are compiled, by loading them, and what compiled them."""
    try:
        ops = importlib.import_module('mmcv.ops')
    except ModuleNotFoundError as error:
        if error.name != 'mmcv._ext':
            raise
        return 'not compiled: mmcv was built without torch in sight, build it as `make setup` does'
    return f'compiled with {ops.get_compiler_version()}, CUDA {ops.get_compiling_cuda_version()}'


def describe_own_ops() -> str:
    """Return whether the fused ops are compiled, for what, and their self-checks on each GPU."""
    ops = importlib.import_module('mmdet_frn.ops')
    if not ops.is_compiled():
        return 'not compiled: the reference in plain PyTorch is used'
    with_kernels = ops.library.ops_with_kernels('cuda')
    if not with_kernels:
        return 'compiled, without CUDA kernels'
    torch = importlib.import_module('torch')
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    verdicts = [
        f'GPU {index}: {op} {ops.self_check.describe(op, index)}'
        for index in range(count)
        for op in with_kernels
    ]
    return ', '.join([f'compiled, with CUDA kernels of {" and ".join(with_kernels)}', *verdicts])


def describe_own_package() -> str:
    """Return the version of mmdet_frn, provided that its layers and models import."""
    version = importlib.import_module('mmdet_frn.version').__version__
    problem = import_problem('mmdet_frn.models')
    return f'{version}, {problem}' if problem else version


def collect_env() -> dict[str, str]:
    """Return MMEngine's report and ours, title to text; never raises for what is broken."""
    report = {'sys.platform': sys.platform, 'Python': platform.python_version()}

    def fill() -> str:
        report.update(importlib.import_module('mmengine.utils.dl_utils').collect_env())
        return 'complete'

    report["MMEngine's report"] = attempt(fill)
    report.update((name, describe_package(name)) for name in DISTRIBUTIONS)
    report['mmcv ops'] = attempt(describe_mmcv_ops)
    report['mmdet_frn'] = attempt(describe_own_package)
    report['mmdet_frn ops'] = attempt(describe_own_ops)
    return {title: str(text) for title, text in report.items()}


if __name__ == '__main__':
    for title, text in collect_env().items():
        print(f'{title}: {text}')
