"""The table's layout and numbers, and the files around it."""

import csv
import io

import pytest

from mmdet_frn.compare.cells import Cell
from mmdet_frn.compare.results import write_result
from mmdet_frn.compare.table import make_table, to_csv, to_markdown, to_text


@pytest.fixture
def cells(tmp_path):
    from mmengine.config import Config

    cfg = Config({'train_cfg': {'max_iters': 10}, 'optim_wrapper': {'optimizer': {'lr': 0.02}}})
    cells = [
        Cell(tmp_path / f'{m}.py', m, images, 1, seed, tmp_path / f'{m}{images}{seed}', cfg)
        for images in (8, 2)
        for m in ('BN', 'FRN')
        for seed in (0, 1)
    ]
    values = {'BN80': 0.301, 'BN81': 0.305, 'FRN80': 0.4}
    for cell in cells:
        cell.folder.mkdir()
        if cell.folder.name in values:
            ap = values[cell.folder.name]
            metrics = {
                'coco/bbox_mAP': ap,
                'coco/bbox_mAP_50': ap + 0.2,
                'coco/bbox_mAP_75': ap - 0.1,
                'coco/bbox_mAP_s': 0.1,
            }
            write_result(cell.folder, metrics, cell.folder / 'iter_10.pth')
    return cells


def test_rows_are_methods_and_columns_metrics_by_images_per_gpu(cells):
    assert make_table(cells).rows() == [
        ['Method', 'AP', '', 'AP50', '', 'AP75', ''],
        ['imgs/gpu', '8', '2', '8', '2', '8', '2'],
        ['BN', '30.3 ± 0.3', '-', '50.3 ± 0.3', '-', '20.3 ± 0.3', '-'],
        ['FRN', '40.0', '-', '60.0', '-', '30.0', '-'],
    ]


def test_markdown_has_as_many_columns_in_every_line(cells):
    lines = to_markdown(make_table(cells).rows()).splitlines()
    assert len({line.count('|') for line in lines}) == 1
    assert lines[1].startswith('|:--|--:|')


def test_text_is_aligned(cells):
    lines = to_text(make_table(cells).rows()).splitlines()
    assert lines[0].index('AP50') + len('AP50') == lines[1].index('8', lines[1].index('2')) + 1
    assert set(lines[2]) == {'-'}


def test_csv_has_every_cell_and_every_metric(cells):
    rows = list(csv.DictReader(io.StringIO(to_csv(cells))))
    assert len(rows) == len(cells)
    done = [row for row in rows if row['bbox_mAP']]
    assert [float(row['bbox_mAP']) for row in done] == [0.301, 0.305, 0.4]
    assert {row['bbox_mAP_s'] for row in done} == {'0.1'}


def test_an_evaluation_without_any_detection_counts_as_zero(cells):
    cell = cells[-1]
    write_result(cell.folder, {}, cell.folder / 'iter_10.pth')
    assert make_table(cells).cell('FRN', 'AP', 2) == '0.0'
