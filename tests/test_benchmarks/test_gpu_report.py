"""The GPU report goes on after a part that fails, and says what happened to each."""

import sys

import pytest
import torch

from benchmarks import gpu_report
from benchmarks.gpu_report import Part


def python(title, code, limit=60, **options) -> Part:
    return Part(title, [sys.executable, '-c', code], limit, **options)


def test_every_part_is_run_and_named_whatever_became_of_the_others(tmp_path):
    pages = tmp_path / 'ops'
    pages.mkdir()
    (pages / 'ops_cpu.md').write_text('# Ops on a CPU\n\nfast\n')
    parts = [
        python('Fails', 'print("why it failed"); raise SystemExit(3)'),
        python('Hangs', 'import time; print("begun", flush=True); time.sleep(60)', limit=3),
        Part('Lacks a program', ['no-such-program'], 60, needs='no-such-program'),
        python('Table', 'import sys; print("| a |"); sys.stderr.write("no" + "ise")', table=True),
        python('Ops', 'print("much")', pages=pages),
    ]
    page = tmp_path / 'gpu_report.md'
    assert gpu_report.run_parts(parts, page, 'a GPU', budget=60) == 3
    text = page.read_text()
    assert text.startswith('# GPU report: a GPU\n')
    assert '| Fails | FAILED (exit status 3) |' in text
    assert 'why it failed' in text
    assert '| Hangs | out of time (3 s) |' in text
    assert '| Lacks a program | skipped: no-such-program is not on PATH |' in text
    assert '| Table | ok |' in text
    assert '\n| a |\n' in text
    assert 'noise' not in text
    assert '\n### Ops on a CPU\n\nfast\n' in text
    logs = sorted(log.name for log in (tmp_path / 'gpu_report.logs').glob('*.log'))
    assert logs == ['00.log', '01.log', '03.log', '04.log']


def test_no_part_begins_after_the_budget(tmp_path):
    parts = [python('First', 'pass'), python('Second', 'pass')]
    assert gpu_report.run_parts(parts, tmp_path / 'page.md', 'a GPU', budget=0) == 2
    assert '| Second | skipped: no time left |' in (tmp_path / 'page.md').read_text()


@pytest.mark.parametrize(('device', 'quick'), [('cuda', False), ('cpu', True)])
def test_the_parts_take_at_most_what_the_budget_allows(tmp_path, device, quick):
    parts = gpu_report.make_parts(device, quick, tmp_path)
    titles = [part.title for part in parts]
    assert titles[:2] == ['Environment', 'Build']
    assert 'Ops' in titles
    assert 'compute-sanitizer racecheck' in titles
    # What matters most is measured before time runs out.
    assert sum(part.limit for part in parts if 'sanitizer' not in part.title) <= 20 * 60


def test_all_four_tools_of_the_sanitizer_run_on_the_gpu_tests(tmp_path):
    parts = gpu_report.make_parts('cuda', False, tmp_path)
    commands = [' '.join(part.command) for part in parts if 'sanitizer' in part.title]
    for tool in ('memcheck', 'racecheck', 'initcheck', 'synccheck'):
        (command,) = (c for c in commands if f'--tool {tool}' in c)
        assert '--error-exitcode 1' in command
        assert command.endswith('tests/test_ops -m gpu and not slow -q')


@pytest.mark.skipif(torch.cuda.is_available(), reason='asks for a machine without a GPU')
def test_a_machine_without_a_gpu_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['gpu_report'])
    with pytest.raises(SystemExit, match='2'):
        gpu_report.main()
    assert 'torch finds no GPU here; --device cpu --quick' in capsys.readouterr().err
