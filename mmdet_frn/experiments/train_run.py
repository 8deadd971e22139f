"""Train and evaluate one run: python -m mmdet_frn.experiments.train_run FOLDER.

Each run has its own process: a crash, or memory that is not freed, costs that run alone.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import sys
import threading
import zipfile
from contextlib import nullcontext
from pathlib import Path

import torch
from filelock import FileLock
from mmdet.evaluation import CocoMetric
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmdet_frn.engine.checkpoint import safe_checkpoints
from mmdet_frn.utils.launch import end_job, is_first_process, set_launcher

from .results import PREDICTIONS, write_result
from .runs import IDENTITY, load_run_config


def train_run(folder: Path, launcher: str = 'none') -> None:
    """Train the run in ``folder`` to its end, from its last checkpoint on, and evaluate it.

    Args:
        folder: The run's folder with its config.
        launcher: MMEngine's launcher, 'none' or 'pytorch'. Default 'none'.
    """
    cfg = load_run_config(folder / IDENTITY)
    # The folder may have been moved since the config was written.
    cfg.work_dir = str(folder)
    set_launcher(cfg, launcher)
    checkpoint = newest_checkpoint(folder)
    if checkpoint is not None:
        cfg.resume = True
        cfg.load_from = str(checkpoint)
    with safe_checkpoints():
        runner = Runner.from_cfg(cfg)
        runner.train()
    for metric in runner.test_evaluator.metrics:
        if isinstance(metric, CocoMetric):
            metric.outfile_prefix = str(folder / PREDICTIONS)
    metrics = runner.test()
    if is_main_process():
        write_result(folder, metrics, newest_checkpoint(folder), {'peak_memory': _peak_memory()})


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the last whole checkpoint in a run's folder, None if there is none.

    MMEngine's ``last_checkpoint`` is empty if the run was killed while writing it, and names a
    path that a moved folder no longer has, so the files themselves are asked: a torch file is a
    zip archive whose directory comes last, which half a file lacks.
    """
    steps = {}
    for path in folder.glob('*.pth'):
        match = re.fullmatch(r'(?:iter|epoch)_(\d+)', path.stem)
        if match:
            steps[int(match[1])] = path
    for step in sorted(steps, reverse=True):
        if zipfile.is_zipfile(steps[step]):
            return steps[step]
    return None


def _peak_memory() -> dict:
    """Return the most memory that this process has used, in MB, and what kind of memory that is."""
    if torch.cuda.is_available():
        return {'mb': torch.cuda.max_memory_allocated() >> 20, 'of': 'GPU'}
    # Linux counts in KB, macOS in bytes.
    unit = 1 if sys.platform == 'darwin' else 1024
    return {'mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit >> 20, 'of': 'process'}


def training_lock(folder: Path) -> FileLock:
    """Return the lock that the process which trains in ``folder`` holds.

    The tool's own lock is free as soon as the tool is killed; its training process ends some
    seconds later, and the next one waits for that.
    """
    return FileLock(folder / '.training.lock', timeout=120)


def _end_with_parent() -> None:
    """End this process when the tool that started it is gone, by kill -9 included.

    The parent holds the other end of standard input and writes nothing to it.
    """

    def wait() -> None:
        # Unbuffered: a buffered read would hold its lock when the interpreter shuts down.
        os.read(sys.stdin.fileno(), 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Parse the arguments and train the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help="the run's folder with its config")
    parser.add_argument('--launcher', choices=['none', 'pytorch'], default='none')
    args = parser.parse_args()
    _end_with_parent()
    with training_lock(args.folder) if is_first_process() else nullcontext():
        train_run(args.folder, args.launcher)
    end_job()


if __name__ == '__main__':
    main()
