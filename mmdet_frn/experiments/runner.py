"""The runner: trains the runs that have no result, several at once, from their last checkpoints."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import torch

from mmdet_frn.datasets import check_cfg
from mmdet_frn.utils.check_names import check_names
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.lock import locked

from .progress import LogTail, ProgressLine
from .results import METRICS, is_finished, read_result, write_failure
from .runs import Run, prepare_folder

LOG = 'log.txt'
_LOCK = '.lock'
# Of a training process. With two on a busy machine they spin at barriers while their partner waits
# for a core, and a step takes many times as long.
THREADS = int(os.environ.get('OMP_NUM_THREADS', '1'))


def default_jobs(runs: Sequence[Run]) -> int:
    """Return how many runs to train at once: one on a GPU, else one for each core."""
    if torch.cuda.is_available():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return max(1, min(len(runs), (cores or 1) // runs[0].num_gpus))


def train_runs(runs: Sequence[Run], jobs: int | None = None) -> int:
    """Train and evaluate the runs that are not finished; a failed run does not stop the others.

    Args:
        runs: The runs, see :func:`~mmdet_frn.experiments.plan.plan_runs`.
        jobs: Runs at once. Default: see :func:`default_jobs`.

    Returns:
        How many failed; :func:`~mmdet_frn.experiments.results.read_failure` has the reasons.

    Raises:
        UsageError: another process trains one of the runs, or a run's folder was made with other
            settings.
        DatasetError: a dataset is unusable. All before anything is trained.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f'--jobs must be >= 1, got {jobs}')
    # The runs of a config and fold share their datasets, and COCO's annotations take long to read.
    for run in {(run.config, run.fold): run for run in runs}.values():
        check_names(run.cfg)
        check_cfg(run.cfg)
    with ExitStack() as stack:
        for run in runs:
            refusal = (
                f'another process is training {run.name} in {run.folder}; wait for it or name '
                f'another --work-dir'
            )
            stack.enter_context(locked(run.folder / _LOCK, refusal))
        unwritable = {}
        for run in runs:
            try:
                prepare_folder(run)
            except OSError as error:
                unwritable[run] = f'{type(error).__name__}: {error}'
        return _Session(runs, jobs or default_jobs(runs), unwritable).train()


class _Session:
    """The runs under way, and those that wait."""

    def __init__(self, runs: Sequence[Run], jobs: int, unwritable: Mapping[Run, str]) -> None:
        self.jobs = jobs
        self.place = {run: f'[{i}/{len(runs)}] {run.name}' for i, run in enumerate(runs, 1)}
        self.tails = {run: LogTail(run.folder) for run in runs}
        self.images = {
            run: run.steps * run.batch_size if is_finished(run) else self._seen(run) for run in runs
        }
        total = sum(run.steps * run.batch_size for run in runs)
        self.line = ProgressLine(total, sum(self.images.values()))
        self.waiting: list[Run] = []
        self.active: dict[Run, subprocess.Popen] = {}
        self.failed = 0
        for run in runs:
            if is_finished(run):
                self.line.note(f'{self.place[run]}: finished before')
            elif run in unwritable:
                self._fail(run, unwritable[run])
            else:
                self.waiting.append(run)

    def train(self) -> int:
        """Train what waits, and return how many runs failed."""
        with self.line:
            try:
                while self.waiting or self.active:
                    while self.waiting and len(self.active) < self.jobs:
                        self._start(self.waiting.pop(0))
                    self._look()
                    time.sleep(0.5)
            finally:
                for process in self.active.values():
                    process.terminate()
                for process in self.active.values():
                    process.communicate()  # waits, and closes its standard input
        return self.failed

    def _start(self, run: Run) -> None:
        try:
            write_failure(run.folder, None)
            with (run.folder / LOG).open('ab') as log:
                self.active[run] = subprocess.Popen(
                    _command(run),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={
                        'OMP_WAIT_POLICY': 'passive',
                        **os.environ,
                        'OMP_NUM_THREADS': str(THREADS),
                    },
                )
        except OSError as error:
            self._fail(run, f'{type(error).__name__}: {error}')

    def _look(self) -> None:
        for run, process in list(self.active.items()):
            ended = process.poll() is not None
            self.images[run] = self._seen(run)
            if ended:
                process.communicate()  # closes its standard input
                del self.active[run]
                self._finish(run, process.returncode)
        if self.active:
            steps = (f'{self.place[run]}: {self._step(run)}/{run.steps}' for run in self.active)
            self.line.show(sum(self.images.values()), '; '.join(steps))

    def _finish(self, run: Run, status: int) -> None:
        # Some library's teardown may abort a process whose result is written.
        result = read_result(run.folder) if is_finished(run) else None
        if result is not None:
            self.images[run] = run.steps * run.batch_size
            metrics = result['metrics']
            shown = '  '.join(f'{k} {100 * metrics[v]:.1f}' for k, v in METRICS.items())
            self.line.note(f'{self.place[run]}: {shown}')
        else:
            log = run.folder / LOG
            reason = _last_error(log) or f'exit status {status}'
            self._fail(run, f'{reason} (see {log})')

    def _fail(self, run: Run, reason: str) -> None:
        self.failed += 1
        self.line.note(f'{self.place[run]}: FAILED: {reason}')
        # The reason may be the disk itself.
        with suppress(OSError):
            write_failure(run.folder, reason)

    def _seen(self, run: Run) -> int:
        """Training images that the run has seen."""
        steps = min(self.tails[run].iteration() // run.accumulate, run.steps)
        return steps * run.batch_size

    def _step(self, run: Run) -> str:
        step = self.images[run] // run.batch_size
        return f'step {step}' if step else 'starting'


def _command(run: Run) -> list[str]:
    module = ['-m', 'mmdet_frn.experiments.train_run', str(run.folder)]
    if run.num_gpus == 1:
        return [sys.executable, *module]
    launch = ['torch.distributed.run', '--standalone', f'--nproc-per-node={run.num_gpus}']
    return [sys.executable, '-m', *launch, *module, '--launcher', 'pytorch']


def _last_error(log: Path) -> str | None:
    """Return the last line of the log that reads like an exception."""
    try:
        lines = log.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        name, colon, _ = line.partition(': ')
        if colon and name.split('.')[-1].endswith(('Error', 'Exception', 'Interrupt')):
            return line
    return None
