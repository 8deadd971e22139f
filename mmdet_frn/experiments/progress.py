"""Progress of an experiment: steps read from the logs as they grow, shown by rich."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from .results import log_files, parse_record


class LogTail:
    """Last logged iteration of a run, from what was appended since the last look.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[Path, int] = {}
        self._last = 0

    def iteration(self) -> int:
        """Return the last logged iteration, 0 before the first."""
        for path in log_files(self.folder):
            start = self._read.get(path, 0)
            with path.open('rb') as file:
                file.seek(start)
                new = file.read()
            # A line that is being written is read next time.
            whole = new[: new.rfind(b'\n') + 1]
            self._read[path] = start + len(whole)
            records = map(parse_record, whole.decode('utf-8', 'replace').splitlines())
            steps = (record['step'] for record in records if record and 'loss' in record)
            self._last = max(self._last, *steps, 0)
        return self._last


class ProgressLine:
    """Share of all training images seen, time left, and what is under way.

    A bar on a terminal; elsewhere a line every ``interval`` seconds.

    Args:
        total: All the work, in images.
        done: Work of earlier sessions, which says nothing about the speed of this one. Default 0.
        console: Where to print. Default standard output.
        interval: Seconds between lines where the console is no terminal. Default 15.
        clock: Returns seconds. Default ``time.monotonic``.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        console: Console | None = None,
        interval: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or Console(soft_wrap=True)
        self.interval = interval
        self.clock = clock
        self.total, self.done_before, self.start = total, done, clock()
        self._printed: float | None = None
        text = TextColumn('{task.description}', table_column=Column(no_wrap=True))
        columns = (BarColumn(20), TaskProgressColumn(), text)
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task('', total=total, completed=done)

    def __enter__(self) -> ProgressLine:
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def show(self, done: int, what: str) -> None:
        """Show that ``done`` of the work is done and ``what`` under way."""
        now = self.clock()
        elapsed, here = now - self.start, done - self.done_before
        left = _clock(elapsed * (self.total - done) / here) if here > 0 else '?'
        text = f'elapsed {_clock(elapsed)}  left {left}  {what}'
        self.bar.update(self.task, completed=done, description=text.replace('[', r'\['))
        due = self._printed is None or now - self._printed >= self.interval
        if not self.console.is_terminal and due:
            share = 100 * done / self.total if self.total else 100
            self.note(f'{share:3.0f}%  {text}')
            self._printed = now

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
