"""The line of progress and its time left."""

import io

from rich.console import Console

from mmdet_frn.experiments.progress import ProgressLine


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def lines_of(console):
    return console.file.getvalue().splitlines()


def test_time_left_rests_on_this_sessions_speed_alone():
    clock, console = Clock(), Console(file=io.StringIO(), width=40)
    line = ProgressLine(1000, 500, console, interval=0, clock=clock)
    line.show(500, '[1/2] run')
    clock.now += 60
    # 100 images in a minute, 400 to go.
    line.show(600, '[1/2] run')
    assert lines_of(console) == [
        ' 50%  elapsed 0:00:00  left ?  [1/2] run',
        ' 60%  elapsed 0:01:00  left 0:04:00  [1/2] run',
    ]


def test_a_file_gets_a_line_every_interval():
    clock, console = Clock(), Console(file=io.StringIO())
    line = ProgressLine(10, console=console, interval=15, clock=clock)
    for _ in range(31):
        line.show(1, 'run')
        clock.now += 1
    assert len(lines_of(console)) == 3


def test_a_terminal_line_is_redrawn_and_notes_stay():
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with ProgressLine(10, console=console, clock=Clock()) as line:
        line.show(1, '[1/2] one')
        line.bar.refresh()
        line.note('[1/2] one: AP 30.0')
        line.show(2, '[2/2] two')
    text = console.file.getvalue()
    assert text.count('[1/2] one: AP 30.0\n') == 1
    # Redrawn in place: the cursor goes back to the start of the line.
    assert '\r\x1b[2K' in text
    assert '[2/2] two' in text[text.rindex('\x1b[2K') :]
