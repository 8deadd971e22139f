"""tools/test_gpu.sh, with a GPU and compute-sanitizer that only pretend."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / 'tools' / 'test_gpu.sh'
TOOLS = ('memcheck', 'racecheck', 'initcheck', 'synccheck')


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the script with programs of our own on PATH."""
    log = tmp_path / 'log'
    log.touch()

    def program(name, body):
        path = tmp_path / name
        path.write_text(f'#!/bin/bash\n{body}\n')
        path.chmod(0o755)
        return path

    def start(*, sanitizer, status=0):
        # Takes the check of the GPU on standard input, and logs what else it is asked to run.
        python = program('python', f'[ "$1" = - ] || echo "python $*" >> {log}')
        if sanitizer:
            program('compute-sanitizer', f'echo "$*" >> {log}; exit {status}')
        environment = {**os.environ, 'PATH': f'{tmp_path}:/usr/bin:/bin', 'PYTHON': str(python)}
        done = subprocess.run([str(SCRIPT), '-x'], env=environment, capture_output=True, text=True)
        return done, log.read_text().splitlines()

    return start


def test_all_four_tools_run_after_the_tests(run):
    done, calls = run(sanitizer=True)
    assert done.returncode == 0, done.stderr
    assert calls[0] == 'python -m pytest -m gpu -x'
    assert [call.split()[:2] for call in calls[1:]] == [['--tool', tool] for tool in TOOLS]
    assert all('--error-exitcode 1' in call for call in calls[1:])


def test_a_finding_fails(run):
    done, calls = run(sanitizer=True, status=1)
    assert done.returncode == 1
    assert len(calls) == 2


def test_without_the_sanitizer_it_says_so(run):
    done, calls = run(sanitizer=False)
    assert done.returncode == 0
    assert len(calls) == 1
    assert 'its four tools were not run' in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason='asks for a machine without a GPU')
def test_a_machine_without_a_gpu_is_an_error():
    environment = {**os.environ, 'PYTHON': sys.executable}
    done = subprocess.run([str(SCRIPT)], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'error: torch finds no GPU here' in done.stderr
