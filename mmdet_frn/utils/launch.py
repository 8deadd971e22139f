"""The launcher's arguments, the same for every tool."""

from __future__ import annotations

import argparse
import os


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
