import io

import pytest

from mmdet_frn.datasets.coco2017.meter import Meter, format_bytes


@pytest.mark.parametrize(
    ('count', 'text'),
    [(0, '0 B'), (999, '999 B'), (1500, '1.5 kB'), (252907541, '252.9 MB'), (2e13, '20000.0 GB')],
)
def test_bytes_for_people(count, text):
    assert format_bytes(count) == text


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_rate_and_time_left_are_those_of_this_run():
    clock, stream = Clock(), io.StringIO()
    meter = Meter('x.zip', 10_000, done=4000, stream=stream, interval=10, clock=clock)
    assert meter.line() == 'x.zip:  40%  4.0 kB of 10.0 kB  0 B/s  left ?'
    clock.now = 5
    meter.add(1000)
    assert stream.getvalue() == ''
    clock.now = 10
    meter.add(1000)
    assert stream.getvalue() == 'x.zip:  60%  6.0 kB of 10.0 kB  200 B/s  left 0:00:20\n'
    meter.restart(0)
    assert meter.line() == 'x.zip:   0%  0 B of 10.0 kB  0 B/s  left ?'


def test_a_line_on_a_terminal_is_redrawn():
    clock, stream = Clock(), io.StringIO()
    stream.isatty = lambda: True
    meter = Meter('decoding', 4, unit='images', stream=stream, clock=clock)
    for clock.now in (1, 2):
        meter.add(2)
    meter.close()
    assert stream.getvalue().split('\r\x1b[2K')[1:] == [
        'decoding:  50%  2 of 4 images  2/s  left 0:00:01',
        'decoding: 100%  4 of 4 images  2/s  left 0:00:00',
        'decoding: 100%  4 of 4 images  2/s  left 0:00:00\n',
    ]
