"""The report: the paper's layout and figures, the best learning rate, what is missing."""

import csv

import cv2
import pytest

from mmdet_frn.compare.results import write_failure
from mmdet_frn.table6.report import write_table6
from mmdet_frn.table6.shrink import Scale


@pytest.fixture
def cells(make_cell):
    cells = [
        make_cell('FRN', 8, 0.01, ap=0.386),
        make_cell('FRN', 8, 0.05, ap=0.396),
        make_cell('FRN', 8, 0.1, ap=0.2),
        make_cell('FRN', 4, 0.05, ap=0.4),
        make_cell('FRN', 2, 0.05, logged=16),
        make_cell('BN', 8, 0.05, ap=0.38),
        make_cell('BN', 4, 0.05, logged=0),
        make_cell('BN', 2, 0.05, logged=3),
    ]
    write_failure(cells[-1].folder, 'RuntimeError: out of memory')
    return cells


def rows(page):
    lines = [line.strip('| ') for line in page.splitlines() if line.startswith('| ')]
    return [[cell.strip() for cell in line.split(' | ')] for line in lines]


def test_page(cells, tmp_path):
    files = write_table6(cells, tmp_path / 'report', Scale(), 'val.json')
    page = files[0].read_text()
    assert page.startswith('# Table 6: object detection on COCO\n')
    table = rows(page)
    assert table[1] == ['imgs/gpu', '8', '4', '2', '8', '4', '2', '8', '4', '2']
    assert table[2][:4] == ['FRN', '39.6', '40.0', '-']
    assert table[3][:4] == ['BN', '38.0', '-', '-']
    beside = table[6]
    assert beside[:4] == ['FRN', '39.6 (39.6, +0.0)', '40.0 (39.5, +0.5)', '- (39.1)']
    assert table[7][1] == '38.0 (38.7, -0.7)'
    costs = {tuple(row[:2]): row[2:] for row in table[9:]}
    # Half a second an iteration, eight to a step, 40 steps.
    expected = ['0.05', '0.01, 0.05, 0.1', '40', '0.0444', '4', '1234 MB (GPU)']
    assert costs['FRN', '8'] == expected
    assert costs['BN', '2'] == ['-'] * 6
    assert '8 of 8 logs' not in page
    assert '7 of 7 logs follow the formula' in page
    assert '- FRN, 2 images/GPU, base lr 0.05, seed 0: stopped at step 16 of 160' in page
    assert '- BN, 4 images/GPU, base lr 0.05, seed 0: not started' in page
    assert '- BN, 2 images/GPU, base lr 0.05, seed 0: failed: RuntimeError: out of memory' in page


def test_csv_and_pictures(cells, tmp_path):
    _, results, ap, curves = write_table6(cells, tmp_path / 'report', Scale(), 'val.json')
    with results.open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(cells)
    assert [line['best'] for line in lines[:4]] == ['0', '1', '0', '1']
    assert (lines[1]['AP'], lines[1]['paper_AP'], lines[1]['AP50']) == ('39.6', '39.6', '59.6')
    assert lines[-1]['unfinished'] == 'failed: RuntimeError: out of memory'
    assert lines[-1]['AP'] == ''
    for picture in (ap, curves):
        assert cv2.imread(str(picture)).std() > 10


def test_wrong_learning_rates_are_named(make_cell, tmp_path):
    cells = [make_cell('FRN', 8, ap=0.3), make_cell('GN', 8, ap=0.3, lr_factor=1.5)]
    page = write_table6(cells, tmp_path / 'report', Scale(), 'val.json')[0].read_text()
    assert '1 of 2 logs follow the formula' in page
    assert '- GN, 8 images/GPU, base lr 0.05, seed 0: off by 5.0e-01' in page


def test_a_trial_says_so_in_its_title(cells, tmp_path):
    page = write_table6(cells, tmp_path / 'report', Scale(0.01), 'val.json')[0].read_text()
    assert "trial at scale 0.01, not the paper's protocol" in page.splitlines()[0]
