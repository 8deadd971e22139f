"""That mmcv is installed with ops that load, or not at all."""

import sys
from pathlib import Path

import pytest

from tools.setup_steps import mmcv
from tools.setup_steps.errors import SetupError
from tools.setup_steps.venv import VirtualEnv

PIN = 'onedl-mmcv==2.3.6'
INSTALL = ['pip', '-v', PIN]
REPLACE = ['pip', '-v', '--force-reinstall', '--no-deps', PIN]
REBUILD = ['pip', '-v', '--force-reinstall', '--no-deps', '--no-cache-dir', PIN]


@pytest.fixture
def venv(tmp_path):
    venv = VirtualEnv(tmp_path)
    venv.python = Path(sys.executable)
    return venv


def test_ask_returns_the_answer_or_the_error(venv):
    assert mmcv.ask(venv, 'print("noise"); print("[1, 2]")', {}) == ([1, 2], '')
    assert mmcv.ask(venv, 'raise ValueError("broken")', {}) == (None, 'ValueError: broken')


class Recorder:
    """Stands in for the steps: notes commands instead of running them."""

    def __init__(self):
        self.commands = []
        self.said = []

    def command(self, argv, environ, remedy):
        self.commands.append([str(word) for word in argv])

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def install(venv, monkeypatch):
    """Return install_mmcv with the ops' problems, one for each look, and the machine's CUDA."""

    def call(problems, present=False, cuda=(False, False, '13.0'), wheel=None, rebuild=False):
        left = iter(problems)
        monkeypatch.setattr(mmcv, 'ops_problem', lambda *_: next(left))
        monkeypatch.setattr(mmcv, 'needs_cuda', lambda *_: cuda)
        monkeypatch.setattr(venv, 'has', lambda _: present)
        recorder = Recorder()
        error = ''
        try:
            mmcv.install_mmcv(recorder, venv, ['pip'], PIN, wheel, rebuild, {})
        except SetupError as raised:
            error = str(raised)
        assert list(left) == []
        return recorder, error

    return call


def test_mmcv_is_installed_once_where_its_ops_load(install):
    recorder, error = install([''])
    assert not error
    assert recorder.commands == [INSTALL]


def test_cached_mmcv_without_ops_is_built_once_more(install):
    recorder, error = install(["No module named 'mmcv._ext'", ''])
    assert not error
    assert recorder.commands == [INSTALL, REBUILD]
    assert "No module named 'mmcv._ext'" in recorder.said[0]


def test_installed_mmcv_without_ops_is_replaced_from_the_cache_first(install):
    recorder, error = install(["No module named 'mmcv._ext'", ''], present=True)
    assert not error
    assert recorder.commands == [REPLACE, INSTALL]


def test_mmcv_whose_ops_never_load_ends_the_set_up(install):
    recorder, error = install(['undefined symbol'] * 2)
    assert recorder.commands.count(REBUILD) == 1
    assert 'undefined symbol' in error
    assert 'remove .venv' in error


def test_named_wheel_replaces_what_is_there_and_is_never_built(install):
    recorder, error = install(['', 'undefined symbol'], present=True, wheel=Path('built.whl'))
    assert recorder.commands[0] == [*REPLACE[:-1], 'built.whl']
    assert REBUILD not in recorder.commands
    assert error.startswith('MMCV_WHEEL=built.whl is installed, but')


def test_changed_build_setting_compiles_anew(install):
    recorder, error = install(['', ''], present=True, rebuild=True)
    assert not error
    assert recorder.commands[0] == REBUILD


def test_cuda_ops_without_nvcc_end_before_anything_runs(install):
    recorder, error = install(
        ['compiled for the CPU only'], present=True, cuda=(True, False, '13.0')
    )
    assert recorder.commands == []
    assert 'install toolkit 13.0 and set CUDA_HOME' in error


def test_cuda_ops_that_load_need_no_nvcc(install):
    recorder, error = install(['', ''], present=True, cuda=(True, False, '13.0'))
    assert not error
    assert recorder.commands == [INSTALL]
