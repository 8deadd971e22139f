"""The counts of benchmarks/cuda_counts.py, for maps whose traffic is known."""

import pytest

from benchmarks.cuda_counts import count


@pytest.mark.parametrize(
    ('op', 'layout', 'launches', 'least', 'most'),
    [
        ('frn', 'contiguous', ('1', '2'), (2, 3), 2.2),
        ('frn', 'channels_last', ('1', '2'), (2, 3), 1.2),
        ('group_norm', 'contiguous', ('1', '2'), (2, 3), 1.2),
        ('group_norm', 'channels_last', ('3', '4'), (3, 5), 1.4),
        ('evonorm_s0', 'contiguous', ('1', '2'), (2, 3), 1.2),
        ('evonorm_s0', 'channels_last', ('3', '4'), (3, 5), 1.4),
        ('pointwise', 'contiguous', ('1', '2'), (2, 3), 1.2),
        ('pointwise', 'channels_last', ('1', '2'), (2, 3), 1.2),
    ],
)
def test_counts_are_those_of_the_kernels(emulator, op, layout, launches, least, most):
    rows = count(emulator, (1, 64, 32, 32), layout, 'fp16', op)
    assert [row[0] for row in rows] == ['forward', 'backward']
    assert tuple(row[1] for row in rows) == launches
    for row, passes in zip(rows, least, strict=True):
        assert passes <= float(row[2]) <= most * passes
