"""Compare the fused kernels with the reference once on each GPU, before they are first used there.

The tests of this package run the CUDA kernels in an emulation, which shows their logic but not that
this GPU, driver and build execute them. So the first call on a GPU takes some milliseconds more.
The verdict is kept in ``$XDG_CACHE_HOME/mmdet_frn/self_check.json`` (default ``~/.cache``) for the
device, driver and build. ``MMDET_FRN_SELF_CHECK=0`` turns the check off.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from . import reference

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
# Rows of every kernel family: a few lanes, more of them, a block, a cluster, chunks; whole 16-byte
# packs and not; then channels_last in both.
SHAPES = ((3, 5, 9), (2, 3, 640), (1, 2, 6400), (1, 2, 40001), (1, 1, 600000))
CHANNELS_LAST_SHAPES = ((2, 64, 13, 11), (2, 33, 13, 11))
# Largest error allowed, relative to a tensor's scale; the longest sums need the most.
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 1e-4,
    torch.float16: 5e-3,
    torch.bfloat16: 3e-2,
}

_verdicts: dict[int, str] = {}
_lock = threading.Lock()


def passes(device: torch.device) -> bool:
    """Tell whether the fused kernels may be used on a CUDA ``device``; check them if need be.

    While a CUDA graph is captured, torch.compile traces, or in a forked process, nothing can be
    checked: an earlier verdict counts, and without one the kernels are used.
    """
    index = device.index or 0
    if index in _verdicts:
        return not _verdicts[index]
    if torch.compiler.is_compiling() or os.getenv('MMDET_FRN_SELF_CHECK', '1') == '0':
        return True
    if torch.cuda._is_in_bad_fork() or torch.cuda.is_current_stream_capturing():
        return True
    with _lock:
        if index not in _verdicts:
            verdict = _remembered(_identity(index), lambda: find_error(torch.device('cuda', index)))
            if verdict is None:
                return True
            _verdicts[index] = verdict
            _warn(torch.cuda.get_device_name(index), verdict)
    return not _verdicts[index]


def describe(index: int) -> str:
    """Return the verdict on a CUDA device in words, for the environment report."""
    if os.getenv('MMDET_FRN_SELF_CHECK', '1') == '0':
        return 'self-check off (MMDET_FRN_SELF_CHECK=0)'
    if passes(torch.device('cuda', index)):
        return 'self-check passed' if index in _verdicts else 'self-check not possible now'
    return f'self-check FAILED, the reference is used: {_verdicts[index]}'


def find_error(device: torch.device, op: Callable[..., Tensor] | None = None) -> str | None:
    """Run every kernel family, forward and backward, and return the first deviation.

    Args:
        device: where to run.
        op: the fused op. Default ``torch.ops.mmdet_frn.frn``.

    Returns:
        '' if all results are right, else one line; None if memory did not suffice to tell.
    """
    op = op or torch.ops.mmdet_frn.frn.default
    found: list[str | None] = ['the check ended early']

    def check() -> None:
        try:
            found[0] = _first_deviation(op, device)
        except torch.OutOfMemoryError:
            found[0] = None
        except Exception as error:  # whatever a kernel does wrong must not end a training
            found[0] = f'{type(error).__name__}: {str(error).strip().splitlines()[0]}'

    # A thread of its own has none of the caller's modes: autograd, autocast, saved-tensor hooks.
    thread = threading.Thread(target=check, name='mmdet_frn self-check')
    thread.start()
    thread.join()
    return found[0]


def _first_deviation(op: Callable[..., Tensor], device: torch.device) -> str:
    for dtype in DTYPES:
        for shape in SHAPES + CHANNELS_LAST_SHAPES:
            for name, error in _errors(op, shape, dtype, device).items():
                if not error <= TOLERANCE[dtype]:  # also a NaN
                    kind = str(dtype).removeprefix('torch.')
                    return f'{name} of {kind} {"x".join(map(str, shape))} is off by {error:.2g}'
    return ''


def _errors(
    op: Callable[..., Tensor], shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> dict[str, float]:
    """Return the relative error of z and of each gradient against the reference in fp64."""

    def wave(size: tuple[int, ...], step: float) -> Tensor:
        count = torch.Size(size).numel()
        phase = torch.arange(count, dtype=torch.float64, device=device)
        return (2 * torch.sin(step * phase + step)).view(size)

    wide = dtype if dtype == torch.float64 else torch.float32
    channels = shape[1:2]
    x, residual, dz = (wave(shape, step).to(dtype) for step in (0.7, 1.1, 1.9))
    weight, bias, tau, eps = (wave(channels, step).to(wide) for step in (0.3, 0.5, 2.3, 1.3))
    exact = [t.double().requires_grad_() for t in (x, weight, bias, tau, eps, residual)]
    desired = reference.frn_tlu(*exact)
    y = reference.frn(*(exact[i] for i in (0, 1, 2, 4))) + exact[5]
    # Rounding decides what is near the threshold: no gradient there.
    threshold = tau.double().view(1, -1, *[1] * (len(shape) - 2))
    dz[((y - threshold).abs() < 1e-3)] = 0
    if len(shape) == 4:
        x, residual, dz = (
            t.contiguous(memory_format=torch.channels_last) for t in (x, residual, dz)
        )
    given = [t.detach().requires_grad_() for t in (x, weight, bias, tau, eps, residual)]
    z = op(given[0], given[1], given[2], given[4], 0.0, given[3], given[5])
    names = ('z', 'dx', 'dweight', 'dbias', 'dtau', 'deps', 'dresidual')
    actual = (z, *torch.autograd.grad(z, given, dz))
    expected = (desired, *torch.autograd.grad(desired, exact, dz.double()))
    return {
        name: ((a - e).abs().max() / (1 + e.abs().max())).item()
        for name, a, e in zip(names, (t.detach().double() for t in actual), expected, strict=True)
    }


def _warn(device_name: str, verdict: str) -> None:
    if verdict:
        warnings.warn(
            f'the CUDA kernels of mmdet_frn fail their self-check on {device_name} ({verdict}): '
            f'the slower reference is used there. Please report this line with the output of '
            f'`python -m mmdet_frn.collect_env`',
            RuntimeWarning,
            stacklevel=2,
        )


def _identity(index: int) -> str:
    """Return what a verdict holds for: the device, its driver, torch and the library's build."""
    device = torch.cuda.get_device_properties(index)
    driver = Path('/proc/driver/nvidia/version')
    parts = [device.name, str(getattr(device, 'uuid', '')), torch.__version__]
    parts.append(driver.read_text().splitlines()[0] if driver.exists() else '')
    for library in sorted(Path(__file__).parent.glob('_ext*.so')):
        stat = library.stat()
        parts.append(f'{stat.st_size} bytes of {stat.st_mtime_ns}')
    return ', '.join(parts)


def _cache_file() -> Path:
    cache = os.getenv('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')  # noqa: PTH111
    return Path(cache) / 'mmdet_frn' / 'self_check.json'


def _remembered(identity: str, check: Callable[[], str | None]) -> str | None:
    """Return the verdict kept for ``identity``, or that of ``check``, which is then kept."""
    file = _cache_file()

    def read() -> dict[str, str]:
        try:
            known = json.loads(file.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    verdict = read().get(identity)
    if isinstance(verdict, str):
        return verdict
    verdict = check()
    if verdict is None:
        return None
    # Where nothing can be written the next process checks again.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            'w', dir=file.parent, delete=False, encoding='utf-8'
        ) as new:
            json.dump({**read(), identity: verdict}, new, indent=2)
        Path(new.name).replace(file)
    return verdict
