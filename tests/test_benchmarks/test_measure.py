"""A run of the benchmark on tiny maps."""

import runpy
import sys

import pytest
import torch

from mmdet_frn import ops
from mmdet_frn.benchmark.contenders import CONTENDERS
from mmdet_frn.benchmark.device import file_stem
from mmdet_frn.benchmark.maps import TINY
from mmdet_frn.benchmark.measure import Settings, measure
from mmdet_frn.benchmark.memory import peak_bytes
from mmdet_frn.benchmark.rows import FORWARD, TRAINING, read_csv

EAGER = [name for name in CONTENDERS if 'compiled' not in name]
SETTINGS = Settings(torch.device('cpu'), min_time=0.0, rounds=2)


@pytest.fixture(autouse=True)
def _compiled():
    if not ops.is_compiled():
        pytest.skip('compiled library absent')


@pytest.mark.parametrize('dtype', ['fp32', 'bf16'])
@pytest.mark.parametrize('layout', ['NCHW', 'channels_last'])
def test_every_contender_runs(dtype, layout):
    rows = measure(TINY, dtype, layout, SETTINGS, {name: CONTENDERS[name] for name in EAGER})
    assert not [row.problem for row in rows if row.problem]
    assert len(rows) == 2 * len(EAGER) - 1  # a copy has no backward to speak of
    for row in rows:
        assert row.q1_us <= row.median_us <= row.q3_us
        assert row.samples == 2
        assert row.peak_megabytes >= row.megabytes
        assert row.megabytes == pytest.approx(2 * 8 * 4 * 4 * (2 if dtype == 'bf16' else 4) / 1e6)


def test_a_contender_that_fails_has_no_figure_and_a_reason():
    def fail(x):
        raise RuntimeError('no compiler\nfound')

    rows = measure(TINY, 'fp32', 'NCHW', SETTINGS, {'bad': fail, 'clone': CONTENDERS['clone']})
    assert [(row.contender, row.mode) for row in rows] == [
        ('bad', FORWARD), ('bad', TRAINING), ('clone', FORWARD),
    ]  # fmt: skip
    assert [row.problem for row in rows] == ['RuntimeError: no compiler'] * 2 + ['']
    assert [row.median_us is None for row in rows] == [True, True, False]


def test_contenders_compute_one_function():
    x = torch.randn(2, 32, 5, 7)
    frn = {name: build(x)(x) for name, build in CONTENDERS.items() if name.startswith('FRN')
           and name in EAGER}  # fmt: skip
    assert len(frn) == 3
    for z in frn.values():
        torch.testing.assert_close(z, frn['FRN+TLU fused'], rtol=1e-5, atol=1e-5)


def test_peak_counts_what_is_held_at_once():
    def run():
        kept = torch.empty(1000, dtype=torch.uint8)
        for _ in range(3):
            torch.empty(5000, dtype=torch.uint8)
        return kept

    assert 6000 <= peak_bytes(run) < 7000


def test_file_name_has_no_odd_characters():
    name = file_stem('ops', torch.device('cpu'))
    assert name.startswith('ops-')
    assert 'torch-2' in name
    assert set(name) <= set('abcdefghijklmnopqrstuvwxyz0123456789-.')


def test_the_tool_runs_and_goes_on(tmp_path, monkeypatch, request, capsys):
    tool = request.config.rootpath / 'tools/benchmark_ops.py'

    def run(*options):
        names = ['FRN+TLU fused', 'BN+ReLU', 'clone']
        argv = [
            str(tool),
            '--quick',
            '--device',
            'cpu',
            '--layouts',
            'NCHW',
            '--contenders',
            *names,
        ]
        monkeypatch.setattr(sys, 'argv', [*argv, *options])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as done:
            runpy.run_path(str(tool), run_name='__main__')
        return done.value.code

    assert run('--dtypes', 'fp32', '--maps', '256x[12]x') == 0
    assert run('--dtypes', 'bf16', '--maps', '256x1x1', '--append') == 0
    (path,) = tmp_path.glob('work_dirs/benchmark/*.csv')
    cases = {row.case for row in read_csv(path)}
    assert cases == {
        ('256x2x2', 'fp32', 'NCHW'), ('256x1x1', 'fp32', 'NCHW'), ('256x1x1', 'bf16', 'NCHW'),
    }  # fmt: skip
    assert run('--maps', '3x3x3') == 2
    assert 'fits no map' in capsys.readouterr().err
