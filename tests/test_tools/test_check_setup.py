"""The checks of the set-up, on machines that lack something."""

import sysconfig
from collections import namedtuple
from pathlib import Path

import pytest

from tools import check_setup

TAG = f'cp{check_setup.PYTHON.replace(".", "")}'
GOOD_WHEEL = f'onedl_mmcv-2.3.6-{TAG}-{TAG}-linux_x86_64.whl'


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / 'constraints.txt').write_text('torch==2.11.0\nonedl-mmcv==2.3.6\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('CXX', raising=False)


def stopped(check):
    with pytest.raises(SystemExit) as stop:
        check()
    assert len(stop.value.code.splitlines()) == 1
    return stop.value.code


def test_a_python_without_ensurepip(monkeypatch):
    check_setup.venv()
    monkeypatch.setattr(
        check_setup.importlib.util, 'find_spec', lambda name: None if name == 'ensurepip' else name
    )
    assert f'lacks ensurepip; on Debian, apt install python{check_setup.PYTHON}-venv' in stopped(
        check_setup.venv
    )


def test_a_virtual_environment_of_somebody_else_is_kept(tmp_path):
    (tmp_path / '.venv/steps').mkdir(parents=True)
    (tmp_path / '.venv/pyvenv.cfg').touch()
    assert 'move it away' in stopped(check_setup.venv)
    (tmp_path / '.venv/steps/setup.log').touch()
    check_setup.venv()


def compiler(folder: Path, script: str, monkeypatch) -> None:
    (folder / 'c++').write_text(f'#!/bin/sh\n{script}\n')
    (folder / 'c++').chmod(0o755)
    monkeypatch.setenv('PATH', str(folder))


def test_a_compiler_is_found_on_path_and_given_pythons_headers(tmp_path, monkeypatch):
    compiler(tmp_path, f'case "$*" in -I{sysconfig.get_paths()["include"]}*) ;; *) exit 1; esac',
             monkeypatch)  # fmt: skip
    check_setup.compiler()


def test_a_compiler_that_is_missing_or_lacks_the_headers(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    assert "no C++ compiler 'c++' on PATH" in stopped(check_setup.compiler)
    monkeypatch.setenv('CXX', 'my-c++ -O2')
    assert "no C++ compiler 'my-c++' on PATH" in stopped(check_setup.compiler)
    monkeypatch.delenv('CXX')
    compiler(tmp_path, 'echo "fatal error: Python.h: No such file" >&2; exit 1', monkeypatch)
    found = stopped(check_setup.compiler)
    assert 'Python.h: No such file' in found
    assert f'python{check_setup.PYTHON}-dev' in found


def test_no_compiler_is_needed_without_anything_to_compile(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setenv('MMDET_FRN_WITH_OPS', '0')
    monkeypatch.setattr(check_setup, 'WHEEL', GOOD_WHEEL)
    check_setup.compiler()


@pytest.mark.parametrize(('gib', 'enough'), [(9.9, False), (10, True)])
def test_what_is_needed_on_one_disk_adds_up(tmp_path, monkeypatch, gib, enough):
    monkeypatch.setattr(check_setup.tempfile, 'gettempdir', lambda: str(tmp_path))
    usage = namedtuple('usage', 'free')
    monkeypatch.setattr(check_setup.shutil, 'disk_usage', lambda _: usage(gib * check_setup.GIB))
    if enough:
        check_setup.disk()
    else:
        assert 'has 9.9 GiB free, 10 are needed; free some or move TMPDIR' in stopped(
            check_setup.disk
        )


@pytest.mark.parametrize('name', [GOOD_WHEEL, GOOD_WHEEL.replace('2.3.6', '2.3.6+cu130.1')])
def test_a_wheel_that_fits(tmp_path, monkeypatch, name):
    (tmp_path / name).touch()
    monkeypatch.setattr(check_setup, 'WHEEL', name)
    check_setup.wheel()


@pytest.mark.parametrize(
    ('name', 'there'),
    [
        (GOOD_WHEEL, False),
        ('notes.txt', True),
        (GOOD_WHEEL.replace('onedl_', ''), True),
        (GOOD_WHEEL.replace('2.3.6', '2.3.5'), True),
        (GOOD_WHEEL.replace(TAG, 'cp27'), True),
        ('onedl_mmcv-2.3.6-py3-none-any.whl', True),  # built without ops
    ],
)
def test_a_wheel_that_does_not_fit(tmp_path, monkeypatch, name, there):
    if there:
        (tmp_path / name).touch()
    monkeypatch.setattr(check_setup, 'WHEEL', name)
    assert f'must be a file onedl_mmcv-2.3.6-{TAG}-{TAG}-<platform>.whl, got {name}' in stopped(
        check_setup.wheel
    )


def test_packages_that_a_killed_pip_left_in_part_are_forgotten(tmp_path, capsys):
    site = tmp_path / '.venv/lib/python3.11/site-packages'
    for name in ('whole', 'unrecorded', 'fileless'):
        (site / f'{name}-1.0.dist-info').mkdir(parents=True)
        (site / f'{name}.py').touch()
        record = f'{name}.py,sha256=abc,0\n__pycache__/{name}.pyc,,\n'
        (site / f'{name}-1.0.dist-info/RECORD').write_text(record)
    (site / 'unrecorded-1.0.dist-info/RECORD').unlink()
    (site / 'fileless.py').unlink()
    check_setup.mend()
    assert [path.name for path in site.glob('*.dist-info')] == ['whole-1.0.dist-info']
    assert 'fileless-1.0 lacks files, to be installed again' in capsys.readouterr().out


def test_compilers_fit_cores_and_memory(monkeypatch, capsys):
    for cores, gib, count in ((2, 24, 2), (64, 8, 4), (8, 1, 1)):
        monkeypatch.setattr(check_setup.os, 'cpu_count', lambda cores=cores: cores)
        values = {'SC_PAGE_SIZE': 1, 'SC_PHYS_PAGES': gib * check_setup.GIB}
        monkeypatch.setattr(check_setup.os, 'sysconf', values.get)
        check_setup.jobs()
        assert capsys.readouterr().out == f'{count}\n'


def test_mmcv_with_ops_and_an_environment_that_imports(monkeypatch, capsys, request):
    monkeypatch.delenv('FORCE_CUDA', raising=False)
    check_setup.ops()
    monkeypatch.chdir(request.config.rootpath)
    check_setup.ready()
    assert '.venv is ready: torch ' in capsys.readouterr().out
    monkeypatch.setitem(check_setup.sys.modules, 'mmcv.ops', None)
    assert 'the ops of mmcv do not load: ' in stopped(check_setup.ops)
