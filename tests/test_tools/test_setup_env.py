"""The set-up's decisions, with neither a network nor a build."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools import setup_env
from tools.setup_steps import preflight
from tools.setup_steps.errors import SetupError

SCRIPT = Path(setup_env.__file__)
GIB = preflight.GIB
GOOD_WHEEL = 'onedl_mmcv-2.3.6-cp311-cp311-linux_x86_64.whl'


@pytest.mark.parametrize('version', [(3, 10, 0), (3, 11, 7), (3, 12)])
def test_supported_python(version):
    assert setup_env.unsupported_python(version) == ''


@pytest.mark.parametrize('version', [(2, 7, 18), (3, 9, 18), (3, 13, 0)])
def test_unsupported_python_is_named_with_the_remedy(version):
    problem = setup_env.unsupported_python(version)
    assert f'python {version[0]}.{version[1]} cannot' in problem
    assert 'make setup PYTHON=python3.12' in problem


def test_old_pythons_can_read_the_script_up_to_its_answer():
    ast.parse(SCRIPT.read_text(encoding='utf-8'), feature_version=(3, 6))


def test_help_and_check_python_touch_nothing(tmp_path):
    for option, expected in (('--help', '--mmcv-wheel'), ('--check-python', '')):
        process = subprocess.run(
            [sys.executable, SCRIPT, option], capture_output=True, text=True, cwd=tmp_path
        )
        assert process.returncode == 0
        assert expected in process.stdout
    assert list(tmp_path.iterdir()) == []


def test_missing_ensurepip_names_the_package_to_install(monkeypatch):
    find_spec = preflight.importlib.util.find_spec
    monkeypatch.setattr(
        preflight.importlib.util, 'find_spec', lambda n: None if n == 'ensurepip' else find_spec(n)
    )
    with pytest.raises(SetupError, match=r'lacks the module ensurepip.*python3\.\d+-venv'):
        preflight.check_venv_module()


def make_compiler(folder: Path, script: str) -> dict[str, str]:
    """Put a stand-in for c++ into a folder and return the environment that finds it alone."""
    compiler = folder / 'c++'
    compiler.write_text(f'#!/bin/sh\n{script}\n')
    compiler.chmod(0o755)
    return {'PATH': str(folder)}


def test_no_compiler(tmp_path):
    with pytest.raises(SetupError, match=r"'c\+\+' is not on PATH.*g\+\+.*MMCV_WHEEL"):
        preflight.check_compiler({'PATH': str(tmp_path)})


def test_cxx_names_the_compiler(tmp_path):
    with pytest.raises(SetupError, match="'no-such-compiler' is not on PATH"):
        preflight.check_compiler({'PATH': str(tmp_path), 'CXX': 'no-such-compiler -O2'})


def test_compiler_without_python_headers(tmp_path):
    environ = make_compiler(tmp_path, 'echo "fatal error: Python.h: No such file" >&2; exit 1')
    with pytest.raises(SetupError, match=r'Python\.h: No such file.*python3\.\d+-dev'):
        preflight.check_compiler(environ)


def test_compiler_that_works_is_named_by_its_version(tmp_path):
    assert preflight.check_compiler(make_compiler(tmp_path, 'echo c++ 12.2')) == 'c++ 12.2'


def test_disk_needs_on_one_file_system_add_up(tmp_path):
    enough_for_each_alone = max(preflight.VENV_GIB, preflight.DOWNLOAD_GIB) * GIB
    with pytest.raises(SetupError, match=r'6\.0 GiB free and 10 GiB are needed.*TMPDIR'):
        preflight.check_disk(
            tmp_path, tmp_path, free_bytes=lambda _: enough_for_each_alone, device=lambda _: 1
        )


def test_disk_needs_on_two_file_systems_are_apart(tmp_path):
    temp = tmp_path / 'temp'
    free = {tmp_path: preflight.VENV_GIB * GIB, temp: preflight.DOWNLOAD_GIB * GIB}
    shown = preflight.check_disk(tmp_path, temp, free_bytes=free.get, device=str)
    assert shown == f'6 GiB free in {tmp_path}, 4 GiB free in {temp}'
    free[temp] -= 1
    with pytest.raises(SetupError, match=f'{temp} has 4.0 GiB free and 4 GiB are needed'):
        preflight.check_disk(tmp_path, temp, free_bytes=free.get, device=str)


def test_prebuilt_wheel_that_fits(tmp_path):
    wheel = tmp_path / GOOD_WHEEL
    wheel.touch()
    assert preflight.check_wheel(str(wheel), '2.3.6', 'cp311') == wheel


def test_prebuilt_wheel_may_have_a_local_version(tmp_path):
    wheel = tmp_path / GOOD_WHEEL.replace('2.3.6', '2.3.6+cu130')
    wheel.touch()
    assert preflight.check_wheel(str(wheel), '2.3.6', 'cp311') == wheel


@pytest.mark.parametrize(
    ('name', 'problem'),
    [
        ('notes.txt', 'not a wheel of onedl-mmcv'),
        ('mmcv-2.1.0-cp311-cp311-linux_x86_64.whl', 'not a wheel of onedl-mmcv'),
        ('onedl_mmcv-2.3.5-cp311-cp311-linux_x86_64.whl', 'pins onedl-mmcv==2.3.6'),
        ('onedl_mmcv-2.3.6-cp312-cp312-linux_x86_64.whl', 'built for cp312, but this python is'),
        ('onedl_mmcv-2.3.6-py3-none-any.whl', 'built without the ops'),
    ],
)
def test_prebuilt_wheel_that_does_not_fit(tmp_path, name, problem):
    wheel = tmp_path / name
    wheel.touch()
    with pytest.raises(SetupError, match=f'MMCV_WHEEL={wheel}: .*{problem}'):
        preflight.check_wheel(str(wheel), '2.3.6', 'cp311')


def test_prebuilt_wheel_that_is_not_there():
    with pytest.raises(SetupError, match=r'MMCV_WHEEL=gone\.whl: there is no such file'):
        preflight.check_wheel('gone.whl', '2.3.6', 'cp311')


def test_wheel_built_anew_under_its_name_is_another_wheel(tmp_path):
    wheel = tmp_path / GOOD_WHEEL
    wheel.write_bytes(b'first')
    first = preflight.describe_wheel(str(wheel))
    assert preflight.describe_wheel(str(wheel)) == first
    wheel.write_bytes(b'second')
    assert preflight.describe_wheel(str(wheel)) != first


@pytest.mark.parametrize(
    ('cores', 'gib', 'jobs'), [(2, 24, 2), (64, 8, 4), (8, 1, 1), (1, 64, 1), (16, 128, 16)]
)
def test_build_jobs_fit_cores_and_memory(cores, gib, jobs):
    assert preflight.build_jobs({}, cores, gib * GIB) == jobs


def test_max_jobs_overrides():
    assert preflight.build_jobs({'MAX_JOBS': '7'}, 2, GIB) == 7
    with pytest.raises(SetupError, match='MAX_JOBS=many: not a whole number'):
        preflight.build_jobs({'MAX_JOBS': 'many'}, 2, GIB)
