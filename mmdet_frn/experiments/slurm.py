"""Table 6 as a Slurm array: one task for each unfinished run."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.files import write_text_atomic

from .results import is_finished
from .runs import Run


def write_array(
    runs: Sequence[Run],
    command: Sequence[str],
    work_dir: Path,
    *,
    at_once: int | None = None,
    options: Sequence[str] = (),
) -> Path:
    """Write the batch script of an array whose task ``i`` trains the ``i``-th run.

    A task that is preempted or runs out of time is queued again by Slurm where the cluster allows,
    and resumes from its last checkpoint; so does submitting again, which leaves out finished runs.

    Args:
        runs: All runs; tasks are numbered from 1.
        command: Command line of a task, to which ``--run`` and its number are added. It runs in
            the folder that the job is submitted from.
        work_dir: Where the script (``slurm/table6.sh``) and the tasks' output go.
        at_once: Most tasks that run at a time. Default None, as many as there is room for.
        options: More options of sbatch, such as ``--partition=gpu``.

    Returns:
        The script.

    Raises:
        UsageError: every run is finished.
    """
    unfinished = [i for i, run in enumerate(runs, 1) if not is_finished(run)]
    if not unfinished:
        raise UsageError('every run is finished; see the report command')
    folder = work_dir / 'slurm'
    folder.mkdir(parents=True, exist_ok=True)
    limit = f'%{at_once}' if at_once else ''
    directives = [
        '--job-name=table6',
        f'--array={",".join(map(str, unfinished))}{limit}',
        '--nodes=1',
        '--ntasks=1',
        f'--gres=gpu:{runs[0].num_gpus}',
        f'--cpus-per-task={5 * runs[0].num_gpus}',
        '--requeue',
        '--open-mode=append',
        f'--output={folder.absolute()}/%a.log',
        *options,
    ]
    script = folder / 'table6.sh'
    lines = ['#!/usr/bin/env bash', *(f'#SBATCH {directive}' for directive in directives)]
    lines += ['set -euo pipefail', f'exec {shlex.join(command)} --run "$SLURM_ARRAY_TASK_ID"']
    write_text_atomic(script, '\n'.join(lines) + '\n')
    return script


def submit(script: Path) -> str:
    """Submit a batch script and return what sbatch prints.

    Raises:
        UsageError: there is no sbatch here, or it refuses the script.
    """
    try:
        done = subprocess.run(['sbatch', str(script)], capture_output=True, text=True)
    except FileNotFoundError:
        raise UsageError(
            f'sbatch is not on PATH: submit {script} on a machine of the cluster, or leave out '
            f'--submit'
        ) from None
    if done.returncode:
        raise UsageError(f'sbatch refused {script}: {done.stderr.strip()}')
    return done.stdout.strip()
