"""Train and evaluate one cell in a process of its own: python -m mmdet_frn.compare.run_cell FOLDER.

A process for each cell, so that a crash, or memory that is not given back, costs that cell alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import threading
from pathlib import Path

import torch
from mmdet.evaluation import DumpDetResults
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmdet_frn.engine.checkpoint import safe_checkpoints
from mmdet_frn.utils.launch import end_job, set_launcher

from .cells import CONFIG, PREDICTIONS
from .checkpoints import newest_checkpoint
from .results import write_result


def run_cell(folder: Path, launcher: str = 'none') -> None:
    """Train the cell in ``folder`` to its end, from its last checkpoint on, and evaluate it.

    Args:
        folder: Work directory with the cell's ``config.py``.
        launcher: MMEngine's launcher, 'none' or 'pytorch'. Default 'none'.
    """
    cfg = Config.fromfile(folder / CONFIG)
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
    runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=str(folder / PREDICTIONS)))
    metrics = runner.test()
    if is_main_process():
        write_result(folder, metrics, newest_checkpoint(folder), {'peak_memory': _peak_memory()})


def _peak_memory() -> dict:
    """Return the most memory that this process has used, in MB, and what kind of memory that is."""
    if torch.cuda.is_available():
        return {'mb': torch.cuda.max_memory_allocated() >> 20, 'of': 'GPU'}
    # Linux counts in KB, macOS in bytes.
    unit = 1 if sys.platform == 'darwin' else 1024
    return {'mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit >> 20, 'of': 'process'}


def _end_with_parent() -> None:
    """End this process when the comparison that started it is gone, by kill -9 included.

    The parent holds the other end of standard input and writes nothing to it.
    """

    def wait() -> None:
        # Unbuffered: a buffered read would hold its lock when the interpreter shuts down.
        os.read(sys.stdin.fileno(), 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Parse the arguments and run the cell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help="the cell's work directory with its config.py")
    parser.add_argument('--launcher', choices=['none', 'pytorch'], default='none')
    args = parser.parse_args()
    _end_with_parent()
    run_cell(args.folder, args.launcher)
    end_job()


if __name__ == '__main__':
    main()
