"""The report: the paper's layout and figures, the best learning rate, what is missing."""

import csv

import cv2
import pytest

from mmdet_frn.experiments.report import Output, Report
from mmdet_frn.experiments.results import read_rows, write_failure
from mmdet_frn.experiments.smoke import Scale


@pytest.fixture
def report(make_run):
    """Return a function that makes the report with the paper's figures at a scale."""
    runs = [
        make_run('FRN', 8, 0.01, ap=0.386),
        make_run('FRN', 8, 0.05, ap=0.396),
        make_run('FRN', 8, 0.1, ap=0.2),
        make_run('FRN', 4, 0.05, ap=0.4),
        make_run('FRN', 2, 0.05, logged=16),
        make_run('BN', 8, 0.05, ap=0.38),
        make_run('BN', 4, 0.05, logged=0),
        make_run('BN', 2, 0.05, logged=3),
    ]
    write_failure(runs[-1].folder, 'RuntimeError: out of memory')
    output = Output('Table 6: object detection on COCO', samples=0, paper=True)
    return lambda scale=1: Report(read_rows(runs), output, Scale(scale))


def rows(page):
    lines = [line.strip('| ') for line in page.splitlines() if line.startswith('| ')]
    return [[cell.strip() for cell in line.split(' | ')] for line in lines]


def test_page(report, tmp_path):
    page = report().write(tmp_path / 'report')[0].read_text()
    assert page.startswith('# Table 6: object detection on COCO\n')
    table = rows(page)
    assert table[1] == ['imgs/gpu', '8', '4', '2', '8', '4', '2', '8', '4', '2']
    assert table[2][:4] == ['FRN', '39.6', '40.0', '-']
    assert table[3][:4] == ['BN', '38.0', '-', '-']
    assert table[6][:4] == ['FRN', '39.6 (39.6, +0.0)', '40.0 (39.5, +0.5)', '- (39.1)']
    assert table[7][1] == '38.0 (38.7, -0.7)'
    costs = {tuple(row[:2]): row[2:] for row in table[9:]}
    # Half a second an iteration, eight to a step, 40 steps.
    expected = ['0.05', '0.01, 0.05, 0.1', '40', '0.0444', '4', '1234 MB (GPU)']
    assert costs['FRN', '8'] == expected
    assert costs['BN', '2'] == ['-'] * 6
    assert '- FRN, 2 images/GPU, base lr 0.05, seed 0: stopped at step 16 of 160' in page
    assert '- BN, 4 images/GPU, base lr 0.05, seed 0: not started' in page
    assert '- BN, 2 images/GPU, base lr 0.05, seed 0: failed: RuntimeError: out of memory' in page
    assert '`data/val.json`' in page


def test_csv_and_pictures(report, tmp_path):
    files = report().write(tmp_path / 'report')
    assert {path.name for path in files} == {path.name for path in (tmp_path / 'report').iterdir()}
    with (tmp_path / 'report' / 'results.csv').open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8
    assert [line['best'] for line in lines[:4]] == ['0', '1', '0', '1']
    assert (lines[1]['bbox_mAP'], lines[1]['paper_AP']) == ('0.396', '39.6')
    assert lines[-1]['unfinished'] == 'failed: RuntimeError: out of memory'
    assert lines[-1]['bbox_mAP'] == ''
    for name in ('curves.png', 'ap_by_images_per_gpu.png'):
        assert cv2.imread(str(tmp_path / 'report' / name)).std() > 10


def test_a_smoke_run_says_so_in_every_title(report, tmp_path):
    smoke = report(0.01)
    note = "moke run at scale 0.01, not the paper's protocol"
    assert note in smoke.text().splitlines()[0]
    assert note in smoke.write(tmp_path / 'report')[0].read_text().splitlines()[0]
