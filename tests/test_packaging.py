"""What setup.py and constraints.txt promise to pip."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmdet_frn.version import __version__

ROOT = Path(__file__).resolve().parents[1]
MM_PACKAGES = {'mmengine', 'mmcv', 'mmcv-lite', 'mmdet'}
ONEDL_PACKAGES = {'onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection'}


def requirement_names(requirements) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


@pytest.fixture
def setup_args(monkeypatch):
    """The arguments that setup.py calls setup() with."""
    seen = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **args: seen.update(args))
    runpy.run_path(str(ROOT / 'setup.py'))
    return seen


@pytest.fixture(scope='module')
def pins():
    lines = (ROOT / 'constraints.txt').read_text(encoding='utf-8').splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith('#')]


def test_install_never_touches_torch_or_the_mm_packages(setup_args):
    heavy = {'torch', 'torchvision'} | MM_PACKAGES | ONEDL_PACKAGES
    assert not requirement_names(setup_args['install_requires']) & heavy
    for extra in setup_args['extras_require'].values():
        assert not requirement_names(extra) & {'torch', 'torchvision'}


def test_extras_name_either_fork_and_never_both(setup_args):
    extras = setup_args['extras_require']
    assert requirement_names(extras['onedl']) == ONEDL_PACKAGES
    assert requirement_names(extras['openmmlab']) == MM_PACKAGES - {'mmcv-lite'}
    assert not requirement_names(extras['tests']) & (MM_PACKAGES | ONEDL_PACKAGES)


def test_openmmlab_ranges_fit_one_another(setup_args):
    """Upstream's mmdet 3.3 refuses mmcv 2.2 at import."""
    upstream = map(Requirement, setup_args['extras_require']['openmmlab'])
    ranges = {requirement.name: requirement.specifier for requirement in upstream}
    assert '2.1.0' in ranges['mmcv']
    assert '2.2.0' not in ranges['mmcv']
    assert '3.3.0' in ranges['mmdet']


def test_tested_extras_are_pinned_as_the_constraints_are(setup_args, pins):
    constrained = {str(pin) for pin in pins}
    for extra in ('onedl', 'tests'):
        assert set(setup_args['extras_require'][extra]) <= constrained


def test_every_constraint_is_one_exact_pin(pins):
    for pin in pins:
        assert [specifier.operator for specifier in pin.specifier] == ['=='], pin
        assert pin.marker is None or isinstance(pin.marker, Marker)
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(names) == len(set(names))
    assert {
        'torch',
        'torchvision',
        'numpy',
        'setuptools',
        'pytest',
        'ruff',
    } | ONEDL_PACKAGES <= set(names)


def test_setuptools_pin_keeps_what_mmcv_and_mmengine_import(pins):
    """pkg_resources left setuptools with version 81."""
    setuptools_pin = next(pin for pin in pins if pin.name == 'setuptools')
    assert '81' not in setuptools_pin.specifier
    assert int(next(iter(setuptools_pin.specifier)).version.split('.')[0]) < 81


def test_every_package_folder_is_packaged(setup_args):
    folders = {file.parent.relative_to(ROOT) for file in (ROOT / 'mmdet_frn').rglob('*.py')}
    assert sorted(setup_args['packages']) == sorted('.'.join(folder.parts) for folder in folders)


def test_without_a_compiler_there_is_no_extension_and_it_says_so(monkeypatch, capsys):
    seen = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **args: seen.update(args))
    monkeypatch.setenv('CXX', 'no-such-compiler -O2')
    runpy.run_path(str(ROOT / 'setup.py'))
    assert seen['ext_modules'] == []
    assert 'no C++ compiler (no-such-compiler is not on PATH)' in capsys.readouterr().out


@pytest.mark.parametrize(('flags', 'asked'), [('-O1', False), ('-fsanitize=address -g1', True)])
def test_debug_information_is_left_out_unless_cflags_ask_for_it(monkeypatch, flags, asked):
    seen = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **args: seen.update(args))
    monkeypatch.setenv('CFLAGS', flags)
    runpy.run_path(str(ROOT / 'setup.py'))
    assert all(
        ('-g0' in library.extra_compile_args['cxx']) is not asked for library in seen['ext_modules']
    )


def test_version_is_read_from_the_package(setup_args):
    assert setup_args['version'] == __version__


def test_build_without_torch_fails_with_the_remedy(tmp_path):
    """Run setup.py on its own, in a python that cannot import torch."""
    for name in ('setup.py', 'constraints.txt', 'README.md'):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    code = (
        "import runpy, sys; sys.modules['torch'] = None; sys.argv = ['setup.py', 'egg_info']; "
        "runpy.run_path('setup.py', run_name='__main__')"
    )
    process = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True
    )
    assert process.returncode != 0
    assert process.stderr.count('\n') == 1
    assert 'torch' in process.stderr
    assert 'pip install --no-build-isolation -e .' in process.stderr
    assert not list(tmp_path.glob('*.egg-info'))
