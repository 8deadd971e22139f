"""A whole comparison at tiny size: finished, failed, killed and gone on with."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from mmdet_frn.compare.cells import plan_cells
from mmdet_frn.compare.runner import run_cells
from mmdet_frn.datasets import find_coco
from mmdet_frn.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/shapes/retinanet_r18-w32_fpn_{}-all_1xb2-1k_shapes-128.py'


@pytest.fixture
def command(tiny_options, tiny_shapes, tmp_path):
    """Return the command line of a comparison of ``norms`` with ``steps`` a cell."""

    def make(norms, steps, **options):
        given = {**tiny_options, 'default_hooks.checkpoint.interval': 100, **options}
        settings = [f'{k}={str(v).replace(" ", "")}' for k, v in given.items()]
        return [
            *(sys.executable, 'tools/compare.py', *(CONFIG.format(norm) for norm in norms)),
            *('--images-per-gpu', '2', '--steps', str(steps), '--data', str(tiny_shapes)),
            *('--work-dir', str(tmp_path / 'work'), '--cfg-options', *settings),
        ]

    return make


def run(command):
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )


def snapshot(folder):
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob('*') if p.is_file()}


@pytest.mark.slow
def test_killed_comparison_goes_on_where_it_was(command, tmp_path):
    norms, steps = ('bn', 'frn'), 60
    # At the config's 1000 steps, so every 12 of these 60.
    options = {'default_hooks.checkpoint.interval': 200}
    work = tmp_path / 'work'
    first, second = (
        work / f'retinanet_r18-w32_fpn_{n}-all_1xb2-1k_shapes-128_1xb2_seed0' for n in norms
    )
    process = subprocess.Popen(
        command(norms, steps, **options),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not list(second.glob('iter_*.pth')):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = snapshot(first)
    assert first / 'result.json' in finished
    assert not (second / 'result.json').exists()
    # Its training process must not live on, or two would write into one folder.
    deadline = time.monotonic() + 60
    while _running_in(second):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    last = max(int(p.stem.split('_')[1]) for p in second.glob('iter_*.pth'))
    assert 0 < last < steps

    again = run(command(norms, steps, **options))
    assert again.returncode == 0, again.stdout + again.stderr
    assert '[1/2] BN, 2 images/GPU, seed 0: finished before' in again.stdout
    assert snapshot(first) == finished
    log = (second / 'log.txt').read_text()
    assert re.search(rf'resumed epoch: \d+, iter: {last}', log)
    assert (second / 'result.json').is_file()
    table = (work / 'report' / 'report.md').read_text()
    assert re.search(r'\| BN \| \d+\.\d \| \d+\.\d \| \d+\.\d \|', table)
    assert re.search(r'\| FRN \| \d+\.\d \| \d+\.\d \| \d+\.\d \|', table)

    # A third run has nothing to do, and does nothing to the cells.
    before = snapshot(first) | snapshot(second)
    third = run(command(norms, steps, **options))
    assert third.returncode == 0
    assert snapshot(first) | snapshot(second) == before


def _running_in(folder):
    """Processes whose command line names the folder."""
    found = []
    for proc in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if str(folder).encode() in proc.read_bytes():
                found.append(proc)
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_failed_cell_is_reported_and_the_others_go_on(command, tmp_path):
    broken = ROOT / CONFIG.format('gn')
    config = tmp_path / 'three_groups.py'
    norm_cfg = "dict(type='GN', num_groups=3)"
    config.write_text(f"_base_ = '{broken}'\nmodel = dict(backbone=dict(norm_cfg={norm_cfg}))\n")
    line = command(('frn',), 2)
    line.insert(2, str(config))
    done = run(line)
    assert done.returncode == 1
    log = tmp_path / 'work' / 'three_groups_1xb2_seed0' / 'log.txt'
    assert re.search(rf'GN, 2 images/GPU, seed 0: FAILED: .*Error: .*\(see {log}\)', done.stdout)
    report = tmp_path / 'work' / 'report'
    page = (report / 'report.md').read_text()
    assert '| GN | - | - | - |' in page
    assert re.search(r'\| FRN \| \d', page)
    assert re.search(r'- GN, 2 images/GPU, seed 0: .*Error', page)
    for name in ('curves.png', 'detections.png'):
        assert cv2.imread(str(report / name)).std() > 10
    assert 'Wrote' in done.stdout


@pytest.mark.slow
def test_two_processes_a_cell(command, tmp_path):
    done = run([*command(('frn',), 4), '--gpus', '2'])
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / 'work' / 'retinanet_r18-w32_fpn_frn-all_1xb2-1k_shapes-128_2xb2_seed0'
    # Twice the batch, so half the steps.
    assert (folder / 'iter_2.pth').is_file()
    assert re.search(r'Distributed launcher: pytorch', (folder / 'log.txt').read_text())
    assert (folder / 'result.json').is_file()


@pytest.mark.slow
def test_interrupt_stops_cleanly(command):
    process = subprocess.Popen(
        command(('frn',), 500),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    line = process.stdout.readline()
    while '[1/1] FRN' not in line:
        assert process.poll() is None, line
        line = process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert 'Traceback' not in out
    assert 'run the same command again' in out


def test_two_comparisons_do_not_train_one_cell(tmp_path, tiny_shapes, tiny_options, monkeypatch):
    import fcntl

    monkeypatch.chdir(ROOT)
    cells = plan_cells(
        [CONFIG.format('frn'), CONFIG.format('gn')],
        [2],
        tmp_path,
        data=find_coco(tiny_shapes),
        options=tiny_options,
    )
    cells[1].folder.mkdir()
    with (cells[1].folder / '.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match='another run is training GN, 2 images/GPU, seed 0'):
            run_cells(cells)
    assert not list(tmp_path.glob('*/config.py'))


def test_bad_data_is_reported_in_a_line_before_anything_is_written(command, tmp_path, tiny_shapes):
    line = command(('frn',), 2)
    line[line.index('--data') + 1] = str(tmp_path / 'nowhere')
    done = run(line)
    assert done.returncode == 2
    errors = [text for text in done.stderr.splitlines() if text.startswith('error: ')]
    assert len(errors) == 1
    assert 'nowhere does not exist' in errors[0]
    assert 'Traceback' not in done.stderr
    assert not list((tmp_path / 'work').glob('*/config.py'))
