"""The Slurm array, with an sbatch of our own."""

import os
import subprocess
import sys

import pytest

from mmdet_frn.experiments.slurm import submit, write_array
from mmdet_frn.utils.errors import UsageError


def test_script_runs_the_unfinished_runs(make_run, tmp_path):
    runs = [make_run('FRN', n, ap=0.3 if n == 4 else None, accumulate=1) for n in (8, 4, 2)]
    work_dir = tmp_path / 'a folder'
    print_arguments = [sys.executable, '-c', 'import sys; print(sys.argv[1:])', 'a word']
    script = write_array(runs, print_arguments, work_dir, at_once=2, options=['--partition=gpu'])
    lines = script.read_text().splitlines()
    directives = {line.removeprefix('#SBATCH ') for line in lines if line.startswith('#SBATCH ')}
    assert {'--array=1,3%2', '--gres=gpu:8', '--partition=gpu', '--requeue'} <= directives
    environment = {**os.environ, 'SLURM_ARRAY_TASK_ID': '3'}
    ran = subprocess.run(
        ['bash', str(script)], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "['a word', '--run', '3']"


def test_nothing_left_to_submit(make_run, tmp_path):
    with pytest.raises(UsageError, match='every run is finished'):
        write_array([make_run('FRN', 8, ap=0.3)], ['true'], tmp_path)


def test_submission(tmp_path, monkeypatch):
    sbatch = tmp_path / 'bin' / 'sbatch'
    sbatch.parent.mkdir()
    sbatch.write_text('#!/bin/sh\necho "Submitted batch job 7 from $1"\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv('PATH', str(sbatch.parent), prepend=os.pathsep)
    assert submit(tmp_path / 'x.sh') == f'Submitted batch job 7 from {tmp_path / "x.sh"}'
    sbatch.write_text('#!/bin/sh\necho "invalid partition" >&2\nexit 1\n')
    with pytest.raises(UsageError, match=r'refused .*x\.sh: invalid partition'):
        submit(tmp_path / 'x.sh')


def test_no_slurm_here(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(UsageError, match='sbatch is not on PATH'):
        submit(tmp_path / 'x.sh')
