"""The counts of benchmarks/cuda_counts.py, for maps whose traffic is known."""

import pytest

from benchmarks.cuda_counts import count


@pytest.mark.parametrize(
    ('layout', 'launches', 'least'),
    [('contiguous', ('1', '2'), (2, 3)), ('channels_last', ('3', '4'), (3, 5))],
)
def test_counts_are_those_of_the_kernels(emulator, layout, launches, least):
    rows = count(emulator, (1, 64, 32, 32), layout, 'fp16')
    assert [row[0] for row in rows] == ['forward', 'backward']
    assert tuple(row[1] for row in rows) == launches
    for row, passes in zip(rows, least, strict=True):
        assert passes <= float(row[2]) <= 2.2 * passes
