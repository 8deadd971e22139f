"""Times of several functions side by side, in turns, so that drift of the machine hits all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import torch

_SAMPLE_SECONDS = 1e-3  # shorter calls are timed several at a time
_FLUSH_BYTES = 256 << 20  # more than the L2 of any GPU


def time_on_host(function: Callable[[], object], calls: int) -> float:
    """Seconds that ``calls`` calls take. What they leave in the caches stays there."""
    begin = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - begin


def time_on_gpu(flush: torch.Tensor, function: Callable[[], object], calls: int) -> float:
    """Seconds on the GPU of ``calls`` calls, each with an L2 that holds nothing of use."""
    events = []
    for _ in range(calls):
        flush.zero_()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        function()
        end.record()
        events.append((begin, end))
    torch.cuda.synchronize()
    return sum(begin.elapsed_time(end) for begin, end in events) / 1e3


def stopwatch(device: torch.device) -> Callable[[Callable[[], object], int], float]:
    """Return what times calls on ``device``: seconds of f(function, number of calls)."""
    if device.type == 'cuda':
        flush = torch.empty(_FLUSH_BYTES, dtype=torch.uint8, device=device)
        return partial(time_on_gpu, flush)
    return time_on_host


def interleave(
    functions: Mapping[str, Callable[[], object]],
    watch: Callable[[Callable[[], object], int], float],
    min_time: float,
    rounds: int,
) -> dict[str, list[float]]:
    """Time functions that have run before, in turns.

    In each of the rounds every function has a turn of ``min_time / rounds`` seconds or one sample,
    whichever is longer.

    Args:
        functions: The functions by name.
        watch: See :func:`stopwatch`.
        min_time: Seconds for each function.
        rounds: Turns of each function.

    Returns:
        Seconds per call for each sample of each function.
    """
    samples: dict[str, list[float]] = {name: [] for name in functions}
    calls = {
        name: max(1, round(_SAMPLE_SECONDS / max(watch(function, 1), 1e-7)))
        for name, function in functions.items()
    }
    for _ in range(rounds):
        for name, function in functions.items():
            left = min_time / rounds
            while True:
                seconds = watch(function, calls[name])
                samples[name].append(seconds / calls[name])
                left -= seconds
                if left <= 0:
                    break
    return samples
