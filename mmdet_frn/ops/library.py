"""The compiled library of the fused kernels: found and loaded on import, or done without."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from . import self_check

_DISPATCH_KEYS = {'cpu': 'CPU', 'cuda': 'CUDA', 'meta': 'Meta'}
_BUILD = '`pip install --no-build-isolation -e .`'


def _load() -> bool:
    """Load the library that setup.py built beside this file; warn and return False without one."""
    files = sorted(Path(__file__).parent.glob('_ext*.so'))
    reason = f'it has not been built; {_BUILD} builds it'
    if files:
        try:
            torch.ops.load_library(str(files[0]))
        except OSError as error:
            reason = f'{files[0].name} does not load, build it again for this torch: {error}'
        else:
            return True
    warnings.warn(
        f'mmdet_frn runs on its reference ops in plain PyTorch, which are several times slower '
        f'than the compiled library: {reason}',
        RuntimeWarning,
        stacklevel=2,
    )
    return False


_COMPILED = _load()
# The devices that each op has kernels for; an older build may lack an op.
_DEVICES_OF = {
    op: frozenset(
        device
        for device, key in _DISPATCH_KEYS.items()
        if _COMPILED
        and hasattr(torch.ops.mmdet_frn, kernel)
        and torch._C._dispatch_has_kernel_for_dispatch_key(f'mmdet_frn::{kernel}', key)
    )
    for op, kernel in {
        'frn': 'frn_forward',
        'group_norm': 'group_norm_forward',
        'evonorm_s0': 'evonorm_s0_forward',
        'pointwise': 'pointwise',
    }.items()
}
MISSING_OPS = [op for op, devices in _DEVICES_OF.items() if _COMPILED and not devices]
if MISSING_OPS:
    warnings.warn(
        f'mmdet_frn runs {", ".join(MISSING_OPS)} on the slower reference ops: the compiled '
        f'library is older than the package and lacks them; {_BUILD} builds it again',
        RuntimeWarning,
        stacklevel=1,
    )
_reference_only = False


def is_compiled() -> bool:
    """Tell whether :func:`mmdet_frn.ops.frn` and ``frn_tlu`` run on the fused kernels.

    Returns:
        True with a compiled library that loads. False without: everything then runs on
        :mod:`mmdet_frn.ops.reference`, and a RuntimeWarning said why when the package was imported.
    """
    return _COMPILED


def has_op(op: str) -> bool:
    """Tell whether the library holds ``op``, a key of ``_DEVICES_OF``; an older build may not."""
    return bool(_DEVICES_OF[op])


def has_kernels(device_type: str, op: str = 'frn') -> bool:
    """Tell whether the library has fused kernels of ``op`` for tensors on ``device_type``."""
    return device_type in _DEVICES_OF[op] and not _reference_only


def ops_with_kernels(device_type: str) -> list[str]:
    """Return the ops that the library has fused kernels of for tensors on ``device_type``."""
    return [op for op in _DEVICES_OF if has_kernels(device_type, op)]


def runs_fused(op: str, device: torch.device) -> bool:
    """Tell whether ``op`` runs on the fused kernels on ``device``: built for it, and right on it.

    Args:
        op: a key of ``_DEVICES_OF``: 'frn', 'group_norm', 'evonorm_s0' or 'pointwise'.
        device: where its tensors are.
    """
    if not has_kernels(device.type, op):
        return False
    return device.type != 'cuda' or self_check.passes(op, device)


@contextmanager
def reference_only() -> Iterator[None]:
    """Let the ops run on their reference inside the block, to compare the two."""
    global _reference_only  # noqa: PLW0603
    saved, _reference_only = _reference_only, True
    try:
        yield
    finally:
        _reference_only = saved
