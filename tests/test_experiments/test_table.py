"""The table's layout and numbers, and the files around it."""

import csv
import io

import pytest

from mmdet_frn.experiments.results import read_rows, write_result
from mmdet_frn.experiments.table import make_table, to_csv, to_markdown, to_text


@pytest.fixture
def runs(make_run):
    values = {('BN', 8, 0): 0.301, ('BN', 8, 1): 0.305, ('FRN', 8, 0): 0.4}
    return [
        make_run(norm, images, None, seed=seed, ap=values.get((norm, images, seed)))
        for images in (8, 2)
        for norm in ('BN', 'FRN')
        for seed in (0, 1)
    ]


@pytest.fixture
def rows(runs):
    return read_rows(runs)


def test_rows_are_norms_and_columns_metrics_by_images_per_gpu(rows):
    assert make_table(rows).rows() == [
        ['Norm', 'AP', '', 'AP50', '', 'AP75', ''],
        ['imgs/gpu', '8', '2', '8', '2', '8', '2'],
        ['BN', '30.3 ± 0.3', '-', '50.3 ± 0.3', '-', '30.3 ± 0.3', '-'],
        ['FRN', '40.0', '-', '60.0', '-', '40.0', '-'],
    ]


def test_markdown_has_as_many_columns_in_every_line(rows):
    lines = to_markdown(make_table(rows).rows()).splitlines()
    assert len({line.count('|') for line in lines}) == 1
    assert lines[1].startswith('|:--|--:|')


def test_text_is_aligned(rows):
    lines = to_text(make_table(rows).rows()).splitlines()
    assert lines[0].index('AP50') + len('AP50') == lines[1].index('8', lines[1].index('2')) + 1
    assert set(lines[2]) == {'-'}
    assert lines[3].split()[0] == 'BN'


def test_csv_has_every_run_and_every_metric(rows):
    rows[0].metrics['coco/bbox_mAP_s'] = 0.1
    lines = list(csv.DictReader(io.StringIO(to_csv(rows, make_table(rows)))))
    assert not any(column.startswith('paper') for column in lines[0])
    assert len(lines) == len(rows)
    done = [line for line in lines if line['bbox_mAP']]
    assert [float(line['bbox_mAP']) for line in done] == [0.301, 0.305, 0.4]
    assert [line['bbox_mAP_s'] for line in done] == ['0.1', '', '']
    assert {line['unfinished'] for line in lines} == {'', 'stopped at step 40 of 40'} | {
        'stopped at step 160 of 160'
    }


def test_an_evaluation_without_any_detection_counts_as_zero(runs):
    write_result(runs[-1].folder, {}, runs[-1].folder / 'iter_10.pth')
    assert make_table(read_rows(runs)).entry('FRN', 'AP', 2) == '0.0'
