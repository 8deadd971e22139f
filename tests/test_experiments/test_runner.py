"""A whole comparison at tiny size: finished, failed, killed and resumed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from warm_process import run_script

from mmdet_frn.experiments import runner
from mmdet_frn.experiments.main import plan_comparison
from mmdet_frn.experiments.plan import Setup
from mmdet_frn.experiments.results import read_failure, write_failure, write_result
from mmdet_frn.experiments.runner import train_runs
from mmdet_frn.experiments.runs import prepare_folder
from mmdet_frn.experiments.train_run import training_lock
from mmdet_frn.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/shapes/retinanet_r18-w32_fpn_{}-all_1xb2-1k_shapes-128.py'


@pytest.fixture
def command(tiny_options, tiny_shapes, tmp_path):
    """Return the words of a comparison of ``norms`` with ``steps`` a run."""

    def make(norms, steps, **options):
        given = {**tiny_options, 'default_hooks.checkpoint.interval': 100, **options}
        settings = [f'{k}={str(v).replace(" ", "")}' for k, v in given.items()]
        return [
            *('tools/compare.py', *(CONFIG.format(norm) for norm in norms)),
            *('--images-per-gpu', '2', '--steps', str(steps), '--data', str(tiny_shapes)),
            *('--jobs', '1', '--bootstrap', '10'),
            *('--work-dir', str(tmp_path / 'work'), '--cfg-options', *settings),
        ]

    return make


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
        [sys.executable, *command(norms, steps, **options)],
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

    again = run_script(*command(norms, steps, **options))
    assert again.returncode == 0, again.stdout + again.stderr
    assert '[1/2] BN, 2 images/GPU, seed 0: finished before' in again.stdout
    assert snapshot(first) == finished
    log = (second / 'log.txt').read_text()
    assert re.search(rf'resumed epoch: \d+, iter: {last}', log)
    assert (second / 'result.json').is_file()
    table = (work / 'report' / 'report.md').read_text()
    assert re.search(r'\| BN \| \d+\.\d \| \d+\.\d \| \d+\.\d \|', table)
    assert re.search(r'\| FRN \| \d+\.\d \| \d+\.\d \| \d+\.\d \|', table)

    # A third run has nothing to do, and does nothing to the runs.
    before = snapshot(first) | snapshot(second)
    third = run_script(*command(norms, steps, **options))
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
def test_failed_run_is_reported_and_the_others_go_on(command, tmp_path):
    broken = ROOT / CONFIG.format('gn')
    config = tmp_path / 'three_groups.py'
    norm_cfg = "dict(type='GN', num_groups=3)"
    config.write_text(f"_base_ = '{broken}'\nmodel = dict(backbone=dict(norm_cfg={norm_cfg}))\n")
    line = command(('frn',), 2)
    line.insert(1, str(config))
    done = run_script(*line)
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
def test_two_processes_a_run(command, tmp_path):
    done = run_script(*command(('frn',), 4), '--gpus', '2')
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / 'work' / 'retinanet_r18-w32_fpn_frn-all_1xb2-1k_shapes-128_2xb2_seed0'
    # Twice the batch, so half the steps.
    assert (folder / 'iter_2.pth').is_file()
    assert re.search(r'Distributed launcher: pytorch', (folder / 'log.txt').read_text())
    assert (folder / 'result.json').is_file()


@pytest.mark.slow
def test_interrupt_stops_cleanly(command):
    process = subprocess.Popen(
        [sys.executable, *command(('frn',), 500)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Where the tests run in the background, it is ignored, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
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


def test_two_comparisons_do_not_train_one_run(tmp_path, tiny_shapes, tiny_options, monkeypatch):
    import fcntl

    monkeypatch.chdir(ROOT)
    configs = [CONFIG.format('frn'), CONFIG.format('gn')]
    setup = Setup(data=tiny_shapes, options=tiny_options)
    runs = plan_comparison(configs, [2], tmp_path, setup)
    runs[1].folder.mkdir()
    with (runs[1].folder / '.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(
            UsageError, match='another process is training GN, 2 images/GPU, seed 0'
        ):
            train_runs(runs)
    assert not list(tmp_path.glob('*/run.json'))


@pytest.fixture
def three(tmp_path, tiny_shapes, tiny_options, monkeypatch):
    """Return three runs and the commands that training them started; each does what ``act`` says.

    The commands stand in for train_run: ``act[norm]`` is Python, with the run's folder in it.
    """
    monkeypatch.chdir(ROOT)
    norms = ('bn', 'gn', 'frn')
    configs = [CONFIG.format(norm) for norm in norms]
    runs = plan_comparison(configs, [2], tmp_path, Setup(data=tiny_shapes, options=tiny_options))
    started, act = [], dict.fromkeys(norms, WRITE_RESULT)
    popen = subprocess.Popen

    def fake(command, **kwargs):
        (folder,) = [word for word in command if word.startswith(str(tmp_path))]
        norm = next(n for n in norms if f'_{n}-all' in folder)
        started.append(norm)
        code = f'from pathlib import Path\nfolder = Path({folder!r})\n{act[norm]}'
        return popen([sys.executable, '-c', code], **kwargs)

    monkeypatch.setattr(runner.subprocess, 'Popen', fake)
    return runs, started, act


WRITE_RESULT = """
import json
metrics = dict.fromkeys(('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP_75'), 0.5)
(folder / 'result.json').write_text(json.dumps({'metrics': metrics}))
"""


def test_a_run_trained_but_not_evaluated_and_a_failed_one_run_again(three):
    runs, started, _ = three
    bn, gn, frn = runs
    for run in runs:
        run.folder.mkdir(parents=True)
    write_result(bn.folder, {}, bn.folder / 'iter_1000.pth')
    # Trained to the last step, killed before or while it was evaluated.
    (gn.folder / f'iter_{gn.steps}.pth').write_bytes(b'')
    (gn.folder / 'predictions.bbox.json').write_text('[')
    log = gn.folder / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(f'{{"loss": 1, "step": {gn.steps}}}\n')
    write_failure(frn.folder, 'RuntimeError: out of memory')
    assert train_runs(runs) == 0
    assert started == ['gn', 'frn']
    assert read_failure(frn.folder) is None


def test_a_run_that_has_its_result_did_not_fail_however_its_process_ended(three):
    runs, started, act = three
    act['bn'] += 'import os\nos.abort()\n'
    act['gn'] = 'import os\nos.abort()\n'
    assert train_runs(runs) == 1
    assert started == ['bn', 'gn', 'frn']
    assert [read_failure(run.folder) is None for run in runs] == [True, False, True]


def test_jobs_train_at_once_with_one_thread_each(three, monkeypatch):
    runs, _, act = three
    monkeypatch.setattr(runner, 'THREADS', 1)
    monkeypatch.delenv('OMP_WAIT_POLICY', raising=False)
    # Each waits until the other one has started.
    wait = """
import os, time
assert os.environ['OMP_NUM_THREADS'] == '1' and os.environ['OMP_WAIT_POLICY'] == 'passive'
(folder / 'started').touch()
deadline = time.monotonic() + 60
while len(list(folder.parent.glob('*/started'))) < 2:
    assert time.monotonic() < deadline
    time.sleep(0.05)
"""
    act['bn'] = act['gn'] = wait + WRITE_RESULT
    assert train_runs(runs[:2], jobs=2) == 0
    with pytest.raises(UsageError, match='--jobs must be >= 1, got 0'):
        train_runs(runs, jobs=0)


def test_a_full_disk_fails_one_run_in_a_line_and_the_next_goes_on(three, monkeypatch, capsys):
    runs, started, _ = three
    full = OSError(28, 'No space left on device')
    prepare, write = runner.prepare_folder, runner.write_failure

    def on_a_full_disk(run):
        if run is runs[0]:
            raise full
        prepare(run)

    def write_on_a_full_disk(folder, reason):
        if folder in (runs[0].folder, runs[1].folder):
            raise full
        write(folder, reason)

    monkeypatch.setattr(runner, 'prepare_folder', on_a_full_disk)
    monkeypatch.setattr(runner, 'write_failure', write_on_a_full_disk)
    assert train_runs(runs) == 2
    assert started == ['frn']
    lines = [line for line in capsys.readouterr().out.splitlines() if 'FAILED' in line]
    assert len(lines) == 2
    assert all(
        line.endswith('FAILED: OSError: [Errno 28] No space left on device') for line in lines
    )


@pytest.mark.slow
def test_a_training_process_that_outlives_its_parent_keeps_the_next_one_waiting(
    tmp_path, tiny_shapes, tiny_options, monkeypatch
):
    monkeypatch.chdir(ROOT)
    options = {**tiny_options, 'train_cfg.max_iters': 2}
    setup = Setup(data=tiny_shapes, options=options)
    runs = plan_comparison([CONFIG.format('frn')], [2], tmp_path, setup)
    prepare_folder(runs[0])
    folder = runs[0].folder
    with training_lock(folder):
        process = subprocess.Popen(
            [sys.executable, '-m', 'mmdet_frn.experiments.train_run', str(folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(20)
        assert not list(folder.glob('2*'))
    assert process.wait(60) == 0
    assert (folder / 'result.json').is_file()


@pytest.mark.parametrize(
    ('data', 'option', 'message'),
    [
        ('nowhere', [], 'nowhere does not exist'),
        (None, ['model.backbone.norm_cfg.type=FNR'], "did you mean 'FRN'?"),
    ],
)
def test_bad_data_and_a_slip_are_a_line_before_anything_is_written(
    command, tmp_path, data, option, message
):
    line = [*command(('frn',), 2), *option]
    if data is not None:
        line[line.index('--data') + 1] = str(tmp_path / data)
    done = run_script(*line)
    assert done.returncode == 2
    errors = [text for text in done.stderr.splitlines() if text.startswith('error: ')]
    assert len(errors) == 1
    assert message in errors[0]
    assert 'Traceback' not in done.stderr
    assert not list((tmp_path / 'work').glob('*/run.json'))
