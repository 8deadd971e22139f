"""Numbered steps on the terminal, the commands' full output in a log."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from .errors import SetupError

TAIL_LINES = 25
TAIL_BYTES = 1 << 16
CLEAR_LINE = '\r\033[K'
# Once a second is an animation on a terminal; in a log file a line every half minute is enough.
BEAT_SECONDS_TTY = 1
BEAT_SECONDS_LOG = 30


def duration(seconds: float) -> str:
    """Write a duration the way people say it: ``0.4 s``, ``12 s``, ``6 min 5 s``."""
    if seconds < 10:
        return f'{seconds:.1f} s'
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest} s' if minutes else f'{rest} s'


def compile_progress(output: str) -> str:
    """Return ``35 of 102 files compiled`` from ninja's last counter in an output, '' if none."""
    counters = re.findall(r'\[(\d+)/(\d+)\]', output)
    return '{} of {} files compiled'.format(*counters[-1]) if counters else ''


def without_hosts(text: str) -> str:
    """Take the hosts of package indexes, which may be private, out of pip's output."""
    return re.sub(r"(://|host=')[^/'\s]+", r'\1...', text)


class Steps:
    """Announces steps, runs their commands into a log and says what each took.

    Args:
        log: file that takes the commands' output; its folder must exist when one is run.
        total: number of steps.
        out: where to write; default the standard output at call time.
        beat_seconds: time between signs of life; default by whether ``out`` is a terminal.
    """

    def __init__(
        self, log: Path, total: int, out: TextIO | None = None, beat_seconds: float | None = None
    ) -> None:
        self.log = log
        self.total = total
        self.number = 0
        self.title = ''
        self._start = time.monotonic()
        self._out = out or sys.stdout
        self._tty = self._out.isatty()
        self._beat_seconds = beat_seconds or (BEAT_SECONDS_TTY if self._tty else BEAT_SECONDS_LOG)

    def say(self, text: str) -> None:
        """Write one line at once, so that it is seen before what it announces."""
        print(text, file=self._out, flush=True)

    @contextmanager
    def step(self, title: str, note: str = '') -> Iterator[None]:
        """Announce a step and, when it ends well, say how long it took."""
        self.number += 1
        self.title = title
        self.say(f'[{self.number}/{self.total}] {title}' + (f' ({note})' if note else ''))
        self._start = time.monotonic()
        yield
        self.say(f'      done in {duration(time.monotonic() - self._start)}')

    def command(self, argv: Sequence[str | Path], environ: Mapping[str, str], remedy: str) -> None:
        """Run a command with its output in the log, showing signs of life.

        Args:
            argv: the command.
            environ: its environment variables.
            remedy: what to do when it fails.

        Raises:
            SetupError: it failed; the end of its output has been shown.
        """
        with self.log.open('ab') as log:
            log.write(f'\n$ {" ".join(map(str, argv))}\n'.encode())
            log.flush()
            begin = log.tell()
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                close_fds=False,  # the lock stays held as long as the command lives
            )
            status = self._wait(process, begin)
        if status:
            self._show_tail(begin)
            how = f'was killed by signal {-status}' if status < 0 else 'failed'
            raise SetupError(
                f'step {self.number} ({self.title}) {how}; full output in {self.log}. {remedy}'
            )

    def _wait(self, process: subprocess.Popen, begin: int) -> int:
        while True:
            try:
                status = process.wait(timeout=self._beat_seconds)
            except subprocess.TimeoutExpired:
                passed = duration(time.monotonic() - self._start)
                self._beat(', '.join(filter(None, [passed, compile_progress(self._output(begin))])))
            else:
                if self._tty:
                    self._out.write(CLEAR_LINE)
                return status

    def _beat(self, text: str) -> None:
        if self._tty:
            self._out.write(f'{CLEAR_LINE}      {text}')
            self._out.flush()
        else:
            self.say(f'      {text}')

    def _output(self, begin: int) -> str:
        with self.log.open('rb') as log:
            log.seek(max(begin, self.log.stat().st_size - TAIL_BYTES))
            return log.read().decode(errors='replace')

    def _show_tail(self, begin: int) -> None:
        for line in without_hosts(self._output(begin)).splitlines()[-TAIL_LINES:]:
            self.say(f'      | {line}')
