"""Turns and samples of the timing loop."""

import itertools
import time

import pytest
import torch

from benchmarks.timing import interleave

CPU = torch.device('cpu')


def test_every_function_has_a_turn_in_every_round():
    turns = []
    functions = {name: lambda name=name: turns.append(name) or time.sleep(0.02) for name in 'ab'}
    samples = interleave(functions, CPU, min_time=0.0, rounds=3)
    assert [name for name, _ in itertools.groupby(turns)] == ['a', 'b'] * 3
    assert [len(times) for times in samples.values()] == [3, 3]
    assert all(0.02 <= seconds < 1 for times in samples.values() for seconds in times)


def test_short_calls_are_timed_many_at_a_time():
    calls = []
    samples = interleave({'short': lambda: calls.append(1)}, CPU, min_time=0.05, rounds=1)
    assert len(calls) > 100 * len(samples['short'])
    assert max(samples['short']) < 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
def test_the_time_on_a_gpu_is_that_of_the_kernel():
    x = torch.zeros(1 << 28, device='cuda')
    samples = interleave({'fill': x.zero_}, x.device, min_time=0.0, rounds=3)['fill']
    assert len(samples) == 3
    assert all(1e-5 < seconds < 1 for seconds in samples)
