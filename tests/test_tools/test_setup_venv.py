"""Whether .venv is whole and up to date, and when a set-up counts as complete."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.setup_steps import run
from tools.setup_steps.errors import SetupError
from tools.setup_steps.venv import SOURCES, VirtualEnv


@pytest.fixture
def venv(tmp_path):
    for name in SOURCES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('torch==1.0\n')
    venv = VirtualEnv(tmp_path)
    venv.root.mkdir()
    venv.python = Path(sys.executable)
    return venv


def install_fake(venv: VirtualEnv, name: str, record: bool = True, module: bool = True) -> None:
    """Lay a package into the environment as pip does, or a part of one."""
    site = venv.root / 'lib' / 'python3.11' / 'site-packages'
    metadata = site / f'{name}-1.0.dist-info'
    metadata.mkdir(parents=True)
    if module:
        (site / f'{name}.py').touch()
    if record:
        lines = [
            f'{name}.py,sha256=abc,0',
            f'__pycache__/{name}.pyc,,',
            f'{metadata.name}/RECORD,,',
        ]
        (metadata / 'RECORD').write_text('\n'.join(lines) + '\n')


def test_whole_packages_stay(venv):
    install_fake(venv, 'whole')
    assert venv.damage() == ''
    assert venv.forget_incomplete() == []
    assert venv.has('whole==1.0')
    assert not venv.has('whole==2.0')


def test_packages_that_a_killed_pip_left_in_part_are_installed_again(venv):
    install_fake(venv, 'whole')
    install_fake(venv, 'unrecorded', record=False)
    install_fake(venv, 'fileless', module=False)
    assert venv.forget_incomplete() == ['fileless-1.0', 'unrecorded-1.0']
    assert venv.has('whole==1.0')
    assert not venv.has('fileless==1.0')
    assert not venv.has('unrecorded==1.0')


def test_environment_without_a_running_python_is_damaged(venv):
    venv.python = venv.root / 'bin' / 'python'
    assert venv.damage() == 'its python or pip does not run'


def test_stamp_is_current_until_a_source_changes(venv):
    assert not venv.is_current({})
    venv.write_stamp({}, complete=True)
    assert venv.is_current({})
    (venv.checkout / 'constraints.txt').write_text('torch==2.12.0\n')
    assert not venv.is_current({})


def test_incomplete_stamp_is_not_current_and_keeps_the_settings(venv):
    venv.write_stamp({'FORCE_CUDA': '1'}, complete=False)
    assert not venv.is_current({})
    assert venv.read_stamp()['settings'] == {'FORCE_CUDA': '1'}


def test_setting_that_is_not_given_is_no_change(venv):
    venv.write_stamp({'FORCE_CUDA': '1'}, complete=True)
    assert venv.is_current({})
    assert venv.is_current({'FORCE_CUDA': '1'})
    assert not venv.is_current({'FORCE_CUDA': '0'})
    assert not venv.is_current({'MMCV_WHEEL': 'a.whl'})


def test_stamp_of_another_folder_is_damage(venv):
    venv.write_stamp({}, complete=True)
    moved = venv.checkout.with_name('moved')
    venv.checkout.rename(moved)
    there = VirtualEnv(moved)
    there.python = venv.python
    assert not there.is_current({})
    assert there.damage() == 'it was made for another folder'


@pytest.mark.parametrize('text', ['', '{"python"', '[]'])
def test_unreadable_stamp_counts_as_none(venv, text):
    (venv.root / 'setup.json').write_text(text)
    assert venv.read_stamp() == {}
    assert not venv.is_current({})


def test_pip_gets_the_users_build_settings_but_no_foreign_paths():
    environ = run.pip_environ({'FORCE_CUDA': '1', 'MAX_JOBS': '3', 'PYTHONPATH': '/elsewhere'})
    assert environ['FORCE_CUDA'] == '1'
    assert environ['MAX_JOBS'] == '3'
    assert environ['MMCV_WITH_OPS'] == '1'
    assert 'PYTHONPATH' not in environ


def test_lock_is_held_and_released(tmp_path):
    code = 'import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), 6)'

    def is_free() -> bool:
        process = subprocess.run([sys.executable, '-c', code, tmp_path], capture_output=True)
        return process.returncode == 0

    with run.locked(tmp_path):
        assert not is_free()
    assert is_free()


@pytest.fixture
def dry_set_up(venv, monkeypatch):
    """Return a set-up whose commands do nothing, given what the verification finds wrong."""
    install_fake(venv, 'torch')
    pins = ['torch', 'torchvision', 'onedl-mmcv', *run.BUILD_TOOLS]
    (venv.checkout / 'constraints.txt').write_text(''.join(f'{name}==1.0\n' for name in pins))
    monkeypatch.setattr(run, 'CHECKOUT', venv.checkout)
    monkeypatch.setattr(run.Steps, 'command', lambda *_: None)
    monkeypatch.setattr(run.preflight, 'check_compiler', lambda _: 'c++')
    monkeypatch.setattr(run, 'install_mmcv', lambda *_: None)

    def call(problem):
        monkeypatch.setattr(run, 'verify', lambda *_: ('versions', problem))
        run.set_up(venv, '', {}, {'MAX_JOBS': '1'})

    return call


def test_stamp_is_complete_after_the_verification_only(venv, dry_set_up):
    with pytest.raises(SetupError, match='it does not import: mmdet_frn is broken'):
        dry_set_up('mmdet_frn is broken')
    assert not venv.is_current({})
    dry_set_up('')
    assert venv.is_current({})


def test_broken_environment_is_noticed_behind_a_complete_stamp(venv, monkeypatch, capsys):
    venv.write_stamp({}, complete=True)
    monkeypatch.setattr(run, 'CHECKOUT', venv.checkout)
    monkeypatch.setattr(run, 'VirtualEnv', lambda _: venv)
    monkeypatch.setattr(run.os, 'environ', {})
    calls = []
    monkeypatch.setattr(run, 'set_up', lambda *_: calls.append('set up'))
    monkeypatch.setattr(run, 'verify', lambda *_: ('', "No module named 'mmcv._ext'"))
    assert run.run(mmcv_wheel='') == 0
    assert calls == ['set up']
    assert "No module named 'mmcv._ext'" in capsys.readouterr().out
    monkeypatch.setattr(run, 'verify', lambda *_: ('torch 1.0', ''))
    assert run.run(mmcv_wheel='') == 0
    assert calls == ['set up']
