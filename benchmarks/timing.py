"""Times of several functions side by side, in turns, so that drift of the machine hits all."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.utils.benchmark import Timer

_FLUSH_BYTES = 256 << 20  # more than the L2 of any GPU


def interleave(
    functions: Mapping[str, Callable[[], object]],
    device: torch.device,
    min_time: float,
    rounds: int,
) -> dict[str, list[float]]:
    """Time functions that have run before, in turns.

    In each of the rounds every function has a turn of ``min_time / rounds`` seconds or one call,
    whichever is longer. On a CPU short calls are timed many at a time, by torch's ``Timer``; what
    they leave in the caches stays there. On a GPU each call is timed with an L2 that holds nothing
    of use.

    Args:
        functions: The functions by name.
        device: Where they run.
        min_time: Seconds for each function.
        rounds: Turns of each function.

    Returns:
        Seconds per call for each sample of each function.
    """
    turn = min_time / rounds
    take = _gpu_samples(device) if device.type == 'cuda' else _cpu_samples
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            samples[name] += take(function, turn)
    return samples


def _cpu_samples(function: Callable[[], object], turn: float) -> list[float]:
    timer = Timer('f()', globals={'f': function}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=max(turn, 1e-9)).times  # 0 would take no sample


def _gpu_samples(device: torch.device) -> Callable[[Callable[[], object], float], list[float]]:
    flush = torch.empty(_FLUSH_BYTES, dtype=torch.uint8, device=device)

    def take(function: Callable[[], object], turn: float) -> list[float]:
        samples = []
        while not samples or sum(samples) < turn:
            flush.zero_()
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            function()
            end.record()
            end.synchronize()
            samples.append(begin.elapsed_time(end) / 1e3)
        return samples

    return take
