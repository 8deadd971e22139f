"""The launcher: its arguments, and processes on a machine without a GPU."""

from __future__ import annotations

import argparse
import atexit
import os
import sys

from mmengine.config import Config
from mmengine.device import get_device
from torch import distributed as dist


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and ``--local-rank`` as MMDetection's tools have them."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # Passed by the older torch.distributed.launch.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def set_local_rank(args: argparse.Namespace) -> None:
    """Give MMEngine the local rank where the launcher did not set it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))


def is_first_process() -> bool:
    """Whether this is the job's first process, before torch.distributed is up."""
    return int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0'))) == 0


def set_launcher(cfg: Config, launcher: str) -> None:
    """Set the launcher; torchrun's processes join over gloo where there is no GPU.

    MMEngine would ask for a GPU when it joins them and when it wraps the model.

    Args:
        cfg: Config, changed in place.
        launcher: MMEngine's launcher, 'none' for a single process.
    """
    cfg.launcher = launcher
    if launcher == 'pytorch' and get_device() == 'cpu':
        if not dist.is_initialized():
            dist.init_process_group('gloo')
        cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None)


def end_job() -> None:
    """End this process, its work done, if it is one of several that were joined over gloo.

    gloo's threads drop the tensors of the last collective after it has returned. One that asks for
    the interpreter's lock while the interpreter is shut down is unwound through C++ that must not
    be, and the process is aborted (SIGABRT, "terminate called without an active exception").
    ``destroy_process_group`` would join these threads, but DistributedDataParallel leaves a
    reference to the group in C++ that keeps them (PyTorch 2.11). So the interpreter is not shut
    down: exit handlers run, the streams are flushed, and the process is gone.
    """
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == 'gloo':
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
