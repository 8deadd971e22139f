"""The environment report, in a whole environment and in broken ones."""

import importlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import mmcv
import mmdet
import pytest
import torch

from mmdet_frn import collect_env as report
from mmdet_frn import ops
from mmdet_frn.version import __version__


def test_report_of_a_whole_environment():
    env = report.collect_env()
    assert env['torch'].startswith(torch.__version__.partition('+')[0])
    assert env['mmcv'].startswith(mmcv.__version__)
    assert env['mmdet'].startswith(mmdet.__version__)
    assert env['mmdet_frn'] == __version__
    assert env['mmcv ops'].startswith('compiled with ')
    assert env['mmdet_frn ops'].startswith(('compiled', 'not compiled'))
    assert 'CUDA available' in env
    assert not [text for text in env.values() if 'broken' in text]


@pytest.fixture
def imports(monkeypatch):
    """Return a function that lets the import of a module raise an error in the report."""
    errors = {}
    real = importlib.import_module

    def import_module(name):
        if name in errors:
            raise errors[name]
        return real(name)

    monkeypatch.setattr(report.importlib, 'import_module', import_module)
    return errors.__setitem__


def test_mmcv_without_ops_is_told_from_one_that_does_not_load(imports):
    imports('mmcv.ops', ModuleNotFoundError("No module named 'mmcv._ext'", name='mmcv._ext'))
    assert report.collect_env()['mmcv ops'].startswith('not compiled')
    imports('mmcv.ops', ImportError('_ext.so: undefined symbol: _ZN2at\nmore'))
    assert (
        report.collect_env()['mmcv ops'] == 'broken: ImportError: _ext.so: undefined symbol: _ZN2at'
    )


def test_broken_package_is_reported_beside_its_version(imports):
    imports('torchvision', RuntimeError('operator torchvision::nms does not exist'))
    text = report.collect_env()['torchvision']
    assert text.startswith(metadata.version('torchvision'))
    assert text.endswith('broken: RuntimeError: operator torchvision::nms does not exist')


def test_base_report_that_fails_does_not_end_the_whole(imports):
    imports('mmengine.utils.dl_utils', RuntimeError('operator torchvision::nms does not exist'))
    env = report.collect_env()
    assert 'nms does not exist' in env["MMEngine's report"]
    assert env['Python']
    assert env['mmcv ops'].startswith('compiled with ')


def test_both_forks_installed_is_a_conflict(monkeypatch):
    monkeypatch.setattr(report.metadata, 'version', lambda name: '1.0')
    text = report.describe_package('mmdet')
    assert text.startswith('1.0 (onedl-mmdetection) and 1.0 (mmdet), which overwrite each other')


def test_report_where_nothing_is_installed():
    process = subprocess.run(
        [sys.executable, '-I', '-S', Path(report.__file__)], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    for name in ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet'):
        assert f'{name}: not installed' in lines
    assert 'mmcv ops: mmcv is not installed' in lines


def test_report_names_the_self_check_of_each_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(ops, 'is_compiled', lambda: True)
    monkeypatch.setattr(ops.library, 'ops_with_kernels', lambda device: ['frn', 'group_norm'])
    verdicts = {(op, index): '' for op in ('frn', 'group_norm') for index in (0, 1)}
    verdicts['group_norm', 1] = 'z of float16 is off by 1'
    monkeypatch.setattr(ops.self_check, '_verdicts', verdicts)
    assert report.describe_own_ops() == (
        'compiled, with CUDA kernels of frn and group_norm, '
        'GPU 0: frn self-check passed, GPU 0: group_norm self-check passed, '
        'GPU 1: frn self-check passed, GPU 1: group_norm self-check FAILED, '
        'the reference is used: z of float16 is off by 1'
    )
