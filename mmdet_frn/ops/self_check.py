"""Compare each fused op with its reference once on each GPU, before it is first used there.

The tests of this package run the CUDA kernels in an emulation, which shows their logic but not that
this GPU, driver and build execute them. So an op's first call on a GPU takes milliseconds more.
The verdict is kept in ``$XDG_CACHE_HOME/mmdet_frn/self_check.json`` (default ``~/.cache``) for the
op, device, driver and build. ``MMDET_FRN_SELF_CHECK=0`` turns all checks off.
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

from .self_check_calls import Op, find_deviation

_verdicts: dict[tuple[str, int], str] = {}  # by op and CUDA device
_lock = threading.Lock()


def passes(op: str, device: torch.device) -> bool:
    """Tell whether the kernels of ``op`` may be used on a CUDA ``device``; check them if need be.

    While a CUDA graph is captured, torch.compile traces, or in a forked process, nothing can be
    checked: an earlier verdict counts, and without one the kernels are used.
    """
    index = device.index or 0
    if (op, index) in _verdicts:
        return not _verdicts[op, index]
    if torch.compiler.is_compiling() or os.getenv('MMDET_FRN_SELF_CHECK', '1') == '0':
        return True
    if torch.cuda._is_in_bad_fork() or torch.cuda.is_current_stream_capturing():
        return True
    with _lock:
        if (op, index) not in _verdicts:
            verdict = _remembered(
                _identity(op, index), lambda: find_error(op, torch.device('cuda', index))
            )
            if verdict is None:
                return True
            _verdicts[op, index] = verdict
            _warn(op, torch.cuda.get_device_name(index), verdict)
    return not _verdicts[op, index]


def describe(op: str, index: int) -> str:
    """Return the verdict on ``op`` on a CUDA device in words, for the environment report."""
    if os.getenv('MMDET_FRN_SELF_CHECK', '1') == '0':
        return 'self-check off (MMDET_FRN_SELF_CHECK=0)'
    if passes(op, torch.device('cuda', index)):
        return 'self-check passed' if (op, index) in _verdicts else 'self-check not possible now'
    return f'self-check FAILED, the reference is used: {_verdicts[op, index]}'


def find_error(name: str, device: torch.device, op: Op | None = None) -> str | None:
    """Compare all kernels of an op with the reference, see ``self_check_calls.find_deviation``.

    Returns:
        '' if all results are right, else one line; None if memory did not suffice to tell.
    """
    found: list[str | None] = ['the check ended early']

    def check() -> None:
        try:
            found[0] = find_deviation(name, device, op)
        except torch.OutOfMemoryError:
            found[0] = None
        except Exception as error:  # whatever a kernel does wrong must not end a training
            found[0] = f'{type(error).__name__}: {str(error).strip().splitlines()[0]}'

    # A thread of its own has none of the caller's modes: autograd, autocast, saved-tensor hooks.
    thread = threading.Thread(target=check, name='mmdet_frn self-check')
    thread.start()
    thread.join()
    return found[0]


def _warn(op: str, device_name: str, verdict: str) -> None:
    if verdict:
        warnings.warn(
            f'the CUDA kernels of {op} of mmdet_frn fail their self-check on {device_name} '
            f'({verdict}): the slower reference is used there. Please report this line with the '
            f'output of `python -m mmdet_frn.collect_env`',
            RuntimeWarning,
            stacklevel=2,
        )


def _identity(op: str, index: int) -> str:
    """Return what a verdict holds for: op, device, driver, torch and the library's build."""
    device = torch.cuda.get_device_properties(index)
    driver = Path('/proc/driver/nvidia/version')
    parts = [op, device.name, str(getattr(device, 'uuid', '')), torch.__version__]
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
