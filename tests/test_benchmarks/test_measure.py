"""A run of the benchmark on tiny maps."""

import runpy
import sys

import pytest
import torch
from torch import nn

from benchmarks.contenders import CONTENDERS
from benchmarks.device import file_stem
from benchmarks.maps import TINY
from benchmarks.measure import Settings, measure
from benchmarks.memory import peak_bytes
from benchmarks.rows import FORWARD, TRAINING, read_csv
from mmdet_frn import ops

# SyncBN runs on GPUs alone.
EAGER = [name for name in CONTENDERS if 'compiled' not in name and 'SyncBN' not in name]
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
    frn = {}
    for name in ('FRN+TLU fused', 'FRN+TLU eager', 'FRN+TLU timm'):
        module = CONTENDERS[name](x)
        for key, parameter in module.named_parameters():
            if key.endswith('tau'):
                nn.init.constant_(parameter, -0.5)
        frn[name] = module(x)
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


def test_the_tool_runs_and_resumes(tmp_path, monkeypatch, capsys):
    def run(*options):
        names = ['FRN+TLU fused', 'BN+ReLU', 'clone']
        argv = ['ops.py', '--quick', '--device', 'cpu', '--layouts', 'NCHW', '--contenders']
        monkeypatch.setattr(sys, 'argv', [*argv, *names, *options])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as done:
            runpy.run_module('benchmarks.ops', run_name='__main__')
        return done.value.code

    assert run('--dtypes', 'fp32', '--maps', '256x[12]x') == 0
    assert run('--dtypes', 'bf16', '--maps', '256x1x1', '--append') == 0
    (path,) = tmp_path.glob('work_dirs/benchmark/*.csv')
    cases = {row.case for row in read_csv(path)}
    assert cases == {
        ('256x2x2', 'fp32', 'NCHW'), ('256x1x1', 'fp32', 'NCHW'), ('256x1x1', 'bf16', 'NCHW'),
    }  # fmt: skip
    assert run('--maps', '3x3x3') == 2
    assert 'matches no feature map' in capsys.readouterr().err
