"""One line on how far a comparison is, with the time left."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TextIO


class Progress:
    """Overall progress of a comparison: the share of its training images seen, and the time left.

    On a terminal the line is redrawn; elsewhere a new one is printed every ``interval`` seconds.

    Args:
        total: All the work, in images.
        done: Work finished by earlier runs, which says nothing about this run's speed. Default 0.
        stream: Where to print. Default standard output.
        interval: Seconds between lines where the stream is no terminal. Default 15.
        clock: Returns seconds. Default ``time.monotonic``.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        stream: TextIO | None = None,
        interval: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.done_before = done
        self.stream = stream or sys.stdout
        self.interval = interval
        self.clock = clock
        self.start = clock()
        self._printed: float | None = None

    def line(self, done: int, what: str) -> str:
        """Return the line for ``done`` of the work, ``what`` being under way."""
        elapsed = self.clock() - self.start
        here = done - self.done_before
        left = _clock(elapsed * (self.total - done) / here) if here > 0 else '?'
        share = 100 * done / self.total if self.total else 100
        return f'{share:3.0f}%  elapsed {_clock(elapsed)}  left {left}  {what}'

    def show(self, done: int, what: str) -> None:
        """Show the line if it is due."""
        now = self.clock()
        if self.stream.isatty():
            width = shutil.get_terminal_size().columns - 1
            self.stream.write('\r\x1b[2K' + self.line(done, what)[:width])
            self.stream.flush()
        elif self._printed is None or now - self._printed >= self.interval:
            print(self.line(done, what), file=self.stream, flush=True)
            self._printed = now

    def note(self, text: str) -> None:
        """Print a line that stays."""
        erase = '\r\x1b[2K' if self.stream.isatty() else ''
        print(f'{erase}{text}', file=self.stream, flush=True)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
