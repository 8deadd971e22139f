"""One line on how far a download, or another long job, is."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TextIO

_UNITS = ('B', 'kB', 'MB', 'GB')


def format_bytes(count: float) -> str:
    """Return a number of bytes for people, as in '19.3 GB'."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f'{count:.0f} {unit}' if unit == 'B' else f'{count:.1f} {unit}'
        count /= 1000
    return f'{count:.1f} {_UNITS[-1]}'


class Meter:
    """Amount, share, rate and time left; a line on a terminal is redrawn in place.

    Elsewhere a new line is printed every ``interval`` seconds, and one at the end.

    Args:
        what: What is under way.
        total: All of it.
        done: What was there before, and says nothing about the rate. Default 0.
        unit: What is counted; None (default) for bytes.
        stream: Where to print. Default standard output.
        interval: Seconds between lines where the stream is no terminal. Default 30.
        clock: Returns seconds. Default ``time.monotonic``.
    """

    def __init__(
        self,
        what: str,
        total: int,
        done: int = 0,
        unit: str | None = None,
        stream: TextIO | None = None,
        interval: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what = what
        self.total = total
        self.done = done
        self.unit = unit
        self.stream = stream or sys.stdout
        # A terminal takes ten lines a second; a log should stay readable.
        self.interval = 0.1 if self.stream.isatty() else interval
        self.clock = clock
        self.restart(done)
        self._printed = self.start

    def restart(self, done: int) -> None:
        """Count on from ``done``, at a rate measured from now on."""
        self.done = self.done_before = done
        self.start = self.clock()

    def line(self) -> str:
        """Return the line for what is done by now."""
        elapsed = self.clock() - self.start
        here = self.done - self.done_before
        rate = here / elapsed if elapsed > 0 else 0
        left = str(timedelta(seconds=round((self.total - self.done) / rate))) if rate > 0 else '?'
        share = 100 * self.done / self.total if self.total else 100
        done, total, speed = (
            format_bytes(n) if self.unit is None else f'{n:.0f}'
            for n in (self.done, self.total, rate)
        )
        unit = '' if self.unit is None else f' {self.unit}'
        return f'{self.what}: {share:3.0f}%  {done} of {total}{unit}  {speed}/s  left {left}'

    def add(self, count: int) -> None:
        """Count ``count`` more, and show the line if it is due."""
        self.done += count
        now = self.clock()
        if now - self._printed >= self.interval:
            self._printed = now
            self._show('')

    def close(self) -> None:
        """Show the last state, so that what is printed next stands on a line of its own."""
        if self.done > self.done_before:
            self._show('\n')

    def _show(self, end: str) -> None:
        if self.stream.isatty():
            width = shutil.get_terminal_size().columns - 1
            self.stream.write('\r\x1b[2K' + self.line()[:width] + end)
        else:
            self.stream.write(self.line() + '\n')
        self.stream.flush()
