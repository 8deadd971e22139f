"""Turns and samples of the timing loop, on a clock that only the timed functions move."""

import pytest

from mmdet_frn.benchmark.timing import interleave


class Clock:
    """Stands for a stopwatch: a call takes the seconds that the function returns."""

    def __init__(self):
        self.turns = []

    def __call__(self, function, calls):
        seconds = [function() for _ in range(calls)]
        self.turns.append((function.__name__, calls))
        return sum(seconds)


def slow():
    return 2.0


def medium():
    return 0.025


def fast():
    return 1e-6


def test_everything_is_sampled_in_every_round():
    clock = Clock()
    samples = interleave({'slow': slow, 'medium': medium, 'fast': fast}, clock, 0.3, 3)
    assert samples['slow'] == [2.0] * 3
    assert samples['medium'] == [0.025] * 12
    assert sum(1000 * s for s in samples['fast']) == pytest.approx(0.3, rel=0.02)
    names = [name for name, _ in clock.turns[3:]]
    order = [name for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    assert order == ['slow', 'medium', 'fast'] * 3


def test_short_calls_are_timed_many_at_a_time():
    clock = Clock()
    (sample, *_) = interleave({'fast': fast}, clock, 0.01, 1)['fast']
    assert clock.turns[-1] == ('fast', 1000)
    assert sample == pytest.approx(1e-6)
