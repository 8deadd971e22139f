"""Arithmetic of a measurement, and the way into a file and back."""

import csv
from dataclasses import replace

import pytest

from benchmarks.rows import FORWARD, TRAINING, Row, merge, read_csv, summarise, to_csv

ROW = Row(
    'CPU, 2 threads', '2.11.0', 2, '64x8x8', 3, 'C2 P3', 'fp32', 'NCHW', FORWARD, 'clone', 100.0,
    1000.0, 900.0, 1100.0, 7, 100.5,
)  # fmt: skip
FAILED = replace(
    ROW, contender='compiled', mode=TRAINING, median_us=None, q1_us=None, q3_us=None, samples=0,
    peak_megabytes=None, problem='RuntimeError: no compiler, "g++"',
)  # fmt: skip


def test_rate_is_of_the_least_traffic():
    assert ROW.gb_per_second == pytest.approx(200)
    assert replace(ROW, mode=TRAINING).gb_per_second == pytest.approx(500)
    assert FAILED.gb_per_second is None


def test_file_gives_the_rows_back(tmp_path):
    path = tmp_path / 'ops.csv'
    assert read_csv(path) == []
    path.write_text(to_csv([ROW, FAILED]))
    assert read_csv(path) == [ROW, FAILED]


def test_file_has_the_ratio_to_a_copy_and_blanks(tmp_path):
    ours = replace(ROW, contender='ours', median_us=2500.0)
    elsewhere = replace(ours, map='1x1x1')
    records = list(csv.DictReader(to_csv([ours, ROW, FAILED, elsewhere]).splitlines()))
    assert [record['times_clone'] for record in records] == ['2.5', '1', '', '']
    assert records[2]['median_us'] == records[2]['gb_per_s'] == ''


def test_a_new_measurement_replaces_the_old_one():
    newer = replace(ROW, median_us=1.0)
    assert merge([ROW, FAILED], [newer]) == [newer, FAILED]
    assert len(merge([ROW], [replace(ROW, dtype='bf16')])) == 2


def test_median_and_quartiles():
    values = summarise([4e-6, 1e-6, 2e-6, 3e-6, 5e-6])
    assert values == pytest.approx(dict(median_us=3, q1_us=2, q3_us=4, samples=5))
    assert summarise([1e-6]) == pytest.approx(dict(median_us=1, q1_us=1, q3_us=1, samples=1))
