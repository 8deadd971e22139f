"""Summary and report of made-up times, where the ratios are known."""

from dataclasses import replace

import pytest

from benchmarks.contenders import BATCH_NORM, CLONE, COMPILED, OURS
from benchmarks.report import to_markdown, write_report
from benchmarks.rows import FORWARD, TRAINING, Row, read_csv
from benchmarks.summary import summarise_ratios

ROW = Row('CPU', '2.11.0', 2, 'big', 1, 'C2', 'fp32', 'NCHW', FORWARD, OURS, 20.0)


def timed(name, mode, contender, us, megabytes=20.0, calls=1):
    return replace(
        ROW, map=name, mode=mode, contender=contender, median_us=us, megabytes=megabytes,
        calls=calls, samples=1, peak_megabytes=1.0,
    )  # fmt: skip


ROWS = [
    timed('big', FORWARD, OURS, 12.0),
    timed('big', FORWARD, CLONE, 10.0),
    timed('small', FORWARD, OURS, 30.0, 1.0),
    timed('small', FORWARD, CLONE, 1.0, 1.0),
    timed('big', TRAINING, OURS, 40.0),
    timed('big', TRAINING, BATCH_NORM, 80.0),
    timed('small', TRAINING, OURS, 16.0, 1.0),
    timed('small', TRAINING, BATCH_NORM, 8.0, 1.0),
    # Of no detector: in no mean.
    timed('8x4x4', TRAINING, OURS, 90.0, 1.0, calls=0),
    timed('8x4x4', TRAINING, BATCH_NORM, 1.0, 1.0, calls=0),
    replace(ROW, mode=TRAINING, contender=COMPILED, problem='RuntimeError: no compiler'),
]


def test_ratios_are_means_over_the_detectors_maps():
    found = {ratio.title: ratio for ratio in summarise_ratios(ROWS)}
    floor = found['forward, ours / clone, maps of 16 MB or more']
    assert (floor.mean, floor.maps) == (pytest.approx(1.2), 1)
    norm = found['forward+backward, ours / BN+ReLU']
    assert (norm.mean, norm.worst, norm.worst_map) == (pytest.approx(1.0), 2.0, 'small')
    assert len(found) == 2


def test_what_did_not_run_is_blank_and_says_why():
    text = to_markdown(ROWS, 'python -m benchmarks.ops')
    assert '- FRN+TLU compiled: RuntimeError: no compiler' in text
    assert '| big | C2 | 20 | 0.04 | 0.08 | - |' in text


def test_files(tmp_path):
    paths = write_report(ROWS, tmp_path / 'results' / 'ops-cpu-torch-2.11', 'make bench')
    assert sorted((tmp_path / 'results').iterdir()) == sorted(paths)
    assert read_csv(paths[0]) == ROWS
    assert paths[2].read_bytes().startswith(b'\x89PNG')
