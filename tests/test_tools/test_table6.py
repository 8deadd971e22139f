"""tools/table6.py as a user has it, at the smallest scale: plan, run, killed, run again, report."""

import csv
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from warm_process import run_script

ROOT = Path(__file__).resolve().parents[2]
SCALE = '0.00002'


@pytest.fixture
def table6(tiny_shapes, tmp_path):
    """Return the words of a table6 command on the tiny set."""

    def make(command, *arguments):
        choice = ('--norms', 'FRN', '--images-per-gpu', '2', '--gpus', '1', '--scale', SCALE)
        data = ('--data', str(tiny_shapes)) if command != 'report' else ()
        return [
            *('tools/table6.py', command, '--work-dir', str(tmp_path / 'work')),
            *(choice if command != 'report' else ()),
            *data,
            *arguments,
        ]

    return make


@pytest.mark.slow
def test_killed_run_goes_on_and_reports(table6, tmp_path):
    lrs = ('--base-lr', '0.05', '0.1', '--jobs', '1')
    work = tmp_path / 'work'
    process = subprocess.Popen(
        [sys.executable, *table6('run', *lrs)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not list(work.glob('*_lr0.1_seed0/iter_*.pth')):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (first,), (second,) = (list(work.glob(f'*_lr{lr}_seed0')) for lr in ('0.05', '0.1'))
    finished = (first / 'result.json').read_bytes()
    assert not (second / 'result.json').exists()

    early = run_script(*table6('report'))
    assert early.returncode == 0, early.stderr
    page = (work / 'report' / 'report.md').read_text()
    assert re.search(r'- FRN, 2 images/GPU, base lr 0\.1, seed 0: stopped at step \d+ of 10', page)

    # The killed run's training process ends by itself, which the next one waits for.
    again = run_script(*table6('run', *lrs))
    assert again.returncode == 0, again.stdout + again.stderr
    assert 'finished before' in again.stdout
    assert (first / 'result.json').read_bytes() == finished
    assert (second / 'result.json').exists()
    page = (work / 'report' / 'report.md').read_text()
    assert 'instances_val_first32.json' in page
    assert f'smoke run at scale {float(SCALE):g}' in page.splitlines()[0]
    with (work / 'report' / 'results.csv').open() as file:
        rows = {row['base_lr']: row for row in csv.DictReader(file) if row['bbox_mAP']}
    assert set(rows) == {'0.05', '0.1'}
    # The peak: 0.05 * 16 / 64 at the end of the ramp-up.
    assert float(rows['0.05']['logged_peak_lr']) == pytest.approx(0.0125)
    assert sorted(row['best'] for row in rows.values()) == ['0', '1']


def test_plan_with_measured_times(table6, tmp_path):
    done = run_script(*table6('plan', '--measure', '--repeats', '1', '--price', '2'))
    assert done.returncode == 0, done.stderr
    measured = float(re.search(r'FRN, 2 images/GPU: ([\d.]+) s', done.stdout)[1])
    assert measured > 0
    rows = re.findall(r'^ *\d+ +FRN +2 .*$', done.stdout, re.MULTILINE)
    assert [row.split()[4] for row in rows] == ['0.01', '0.05', '0.1']
    assert 'at 2 a GPU-hour' in done.stdout
    # Kept for the next plan.
    again = run_script(*table6('plan'))
    assert re.search(r'Left: [\d.e-]+ GPU-hours', again.stdout)
    assert not (tmp_path / 'work' / 'report').exists()


def test_dry_run_of_an_array(table6, tmp_path):
    done = run_script(
        *table6('run', '--dry-run', '--at-once', '2', '--slurm-option=--partition=gpu')
    )
    assert done.returncode == 0, done.stderr
    script = (tmp_path / 'work' / 'slurm' / 'table6.sh').read_text()
    assert '#SBATCH --array=1,2,3%2\n' in script
    assert '#SBATCH --partition=gpu\n' in script
    (command,) = [line for line in script.splitlines() if line.startswith('exec ')]
    assert ' run ' in command
    assert f'--scale {SCALE}' in command
    assert '--dry-run' not in command
    assert '--partition' not in command


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--gpus', '3'), '--gpus must divide the 8'),
        (('--scale', '2'), '--scale must be > 0 and <= 1, got 2'),
        (('--norms', 'LN'), 'no config of LN'),
        (('--methods', 'LN'), 'no config of LN'),
        (('--run', '9'), '--run must be >= 1 and <= 3, got 9'),
        (('--cell', '9'), '--run must be >= 1 and <= 3, got 9'),
        (('--data', '/nowhere'), 'data folder /nowhere does not exist'),
    ],
)
def test_wrong_arguments(table6, arguments, message):
    done = run_script(*table6('run', *arguments))
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1
    assert message in errors[0]
    assert 'Traceback' not in done.stderr


def test_report_on_an_empty_folder(table6, tmp_path):
    done = run_script(*table6('report'))
    assert done.returncode == 2
    assert f'{tmp_path / "work"} holds no run of Table 6' in done.stderr
