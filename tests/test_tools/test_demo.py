"""The demo from its command to its report, at tiny size."""

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from warm_process import run_script

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_demo_writes_the_table_and_the_pictures(tmp_path):
    command = [
        sys.executable,
        'tools/demo.py',
        '--steps',
        '4',
        '--images',
        '8',
        '4',
        '--seeds',
        '0',
    ]
    command += ['--work-dir', str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / 'shapes' / 'annotations' / 'instances_train.json').is_file()
    for norm in ('BN', 'FRN', 'GN'):
        assert f'{norm}, 2 images/GPU, seed 0' in done.stdout
    table = done.stdout[done.stdout.index('Norm') :]
    assert 'AP50' in table
    report = tmp_path / 'report'
    for name in ('report.md', 'results.csv', 'curves.png', 'detections.png'):
        assert str(report / name) in done.stdout
    with (report / 'results.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['norm'] for row in rows] == ['BN', 'FRN', 'GN']
    assert all(0 <= float(row['bbox_mAP_50']) <= 1 for row in rows)
    for name in ('curves.png', 'detections.png'):
        assert cv2.imread(str(report / name)).std() > 10
    assert 'FRN - GN' in done.stdout
    assert '1 seed(s) are too few to rank the norms' in done.stdout
    assert 'Next:' in done.stdout


def test_demo_on_a_folder_without_data_says_what_it_looked_for(tmp_path):
    words = ('tools/demo.py', '--data', tmp_path, '--work-dir', tmp_path / 'work')
    done = run_script(*words)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert 'has no COCO-format training set' in line
    assert 'Next:' not in done.stdout
