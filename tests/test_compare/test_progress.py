"""The line of progress and its time left."""

import io

from mmdet_frn.compare.progress import Progress


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_time_left_rests_on_this_runs_speed_alone():
    clock = Clock()
    progress = Progress(total=1000, done=500, stream=io.StringIO(), clock=clock)
    clock.now += 60
    # 100 images in a minute, 400 to go.
    line = progress.line(600, 'cell')
    assert line == ' 60%  elapsed 0:01:00  left 0:04:00  cell'
    assert 'left ?' in progress.line(500, 'cell')


def test_a_file_gets_a_line_every_interval():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(total=10, stream=stream, interval=15, clock=clock)
    for _ in range(31):
        progress.show(1, 'cell')
        clock.now += 1
    assert len(stream.getvalue().splitlines()) == 3


def test_a_terminal_line_is_redrawn_and_notes_stay():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    progress = Progress(total=10, stream=stream, clock=Clock())
    progress.show(1, 'one')
    progress.show(2, 'two')
    progress.note('done')
    assert stream.getvalue().count('\n') == 1
    assert stream.getvalue().endswith('\r\x1b[2Kdone\n')
