"""Loading of the compiled library, running without it, and each instruction set it is built for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmdet_frn import ops

PACKAGE = Path(ops.__file__).parent
needs_library = pytest.mark.skipif(not ops.is_compiled(), reason='compiled library absent')


def run(arguments, cwd, check=True, **env):
    return subprocess.run(
        [sys.executable, '-W', 'always', *arguments],
        cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=check,
    )  # fmt: skip


def run_python(code, cwd, **env):
    return run(['-c', code], cwd, **env)


def copy_of_ops(folder, name='copied_ops'):
    (folder / name).mkdir(parents=True)
    for path in PACKAGE.glob('*.py'):
        shutil.copy(path, folder / name)
    return folder / name


CALL = (
    'import torch, copied_ops as ops; x = torch.ones(2, 3, 4, 4); c = torch.ones(3);'
    'print(ops.is_compiled(), [ops.frn_tlu(x, c, c, c).mean().item() for _ in range(2)])'
)


def test_absent_library_says_so_once(tmp_path):
    copy_of_ops(tmp_path)
    done = run_python(CALL, tmp_path)
    assert done.stdout.startswith('False [1.99')
    assert done.stderr.count('RuntimeWarning') == 1
    assert 'it has not been built' in done.stderr


def test_broken_library_says_so_once(tmp_path):
    (copy_of_ops(tmp_path) / '_ext.so').write_bytes(b'not a library')
    done = run_python(CALL, tmp_path)
    assert done.stdout.startswith('False [1.99')
    assert done.stderr.count('RuntimeWarning') == 1
    assert '_ext.so does not load' in done.stderr


def add_old_library(package):
    """Link the library into a package that knows one op more."""
    (package / '_ext.so').symlink_to(next(PACKAGE.glob('_ext*.so')))
    module = package / 'library.py'
    known = "'pointwise': 'pointwise',"
    code = module.read_text(encoding='utf-8').replace(known, f"{known} 'newer': 'newer_forward',")
    module.write_text(code, encoding='utf-8')


@needs_library
def test_a_library_older_than_the_package_names_the_ops_that_it_lacks(tmp_path):
    add_old_library(copy_of_ops(tmp_path))
    done = run_python(CALL, tmp_path)
    assert done.stdout.startswith('True [1.99')
    assert done.stderr.count('RuntimeWarning') == 1
    assert 'runs newer on the slower reference ops' in done.stderr
    assert '`pip install --no-build-isolation -e .` builds it again' in done.stderr


@pytest.mark.parametrize('fault', ['broken', pytest.param('old', marks=needs_library)])
def test_a_bad_library_fails_the_tests_unless_they_run_without_it(tmp_path, fault):
    package = copy_of_ops(tmp_path / 'mmdet_frn', 'ops')
    if fault == 'broken':
        (package / '_ext.so').write_bytes(b'not a library')
    else:
        add_old_library(package)
    (tmp_path / 'mmdet_frn' / '__init__.py').touch()
    shutil.copy(Path(__file__).parents[1] / 'conftest.py', tmp_path)
    (tmp_path / 'test_it.py').write_text('def test_it(): pass', encoding='utf-8')
    pytest_it = ['-m', 'pytest', '-p', 'no:cacheprovider', 'test_it.py']
    env = {'PYTHONPATH': str(tmp_path)}
    done = run(pytest_it, tmp_path, check=False, MMDET_FRN_WITH_OPS='1', **env)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert 'the compiled ops of mmdet_frn are absent, do not load or are older' in done.stderr
    done = run(pytest_it, tmp_path, MMDET_FRN_WITH_OPS='0', **env)
    assert '1 passed' in done.stdout


@needs_library
def test_a_build_with_cuda_kernels_of_frn_alone_runs_the_others_on_the_reference(tmp_path):
    library = next(PACKAGE.glob('_ext*.so'))
    code = f"""
import torch
torch.ops.load_library({str(library)!r})
kernels = torch.library.Library('mmdet_frn', 'IMPL')
kernels.impl('frn_forward', lambda *args: None, 'CUDA')
from mmdet_frn.ops import library
print(library.ops_with_kernels('cuda'), library.runs_fused('group_norm', torch.device('cuda')))
"""
    done = run_python(code, tmp_path, PYTHONPATH=str(PACKAGE.parents[1]))
    assert done.stdout.strip() == "['frn'] False"


@needs_library
@pytest.mark.parametrize('capability', ['default', 'avx2', 'avx512'])
def test_instruction_sets(capability):
    """ATen's own limit chooses the loops; one that the processor lacks is not chosen."""
    library = next(PACKAGE.glob('_ext*.so'))
    code = f"""
import torch
torch.ops.load_library({str(library)!r})
from frn_equations import LAYOUTS, TOLERANCE, assert_op_matches, make_inputs
def op(x, weight, bias, tau, eps, residual):
    return torch.ops.mmdet_frn.frn(x, weight, bias, eps, 0.0, tau, residual)
torch.manual_seed(0)
for dtype in TOLERANCE:
    for layout in ('contiguous', 'channels_last'):
        for shape in [(2, 70, 7, 7), (2, 33), (1, 3, 100, 101)]:
            assert_op_matches(op, make_inputs(shape, dtype, 'cpu', LAYOUTS[layout], True, 'one'))
# Every end of a vector, which some releases of PyTorch load with garbage behind it.
for dtype in (torch.float16, torch.bfloat16):
    for size in range(1, 34):
        inputs = make_inputs((2, 3, size), dtype, 'cpu', LAYOUTS['misaligned'], True, 'one')
        assert_op_matches(op, inputs)
# Large enough to be written past the caches.
for dtype, height in ((torch.float32, 192), (torch.bfloat16, 384)):
    for layout in ('contiguous', 'channels_last'):
        inputs = make_inputs((1, 64, height, 352), dtype, 'cpu', LAYOUTS[layout], True, 'one')
        assert_op_matches(op, inputs)
print(torch.backends.cpu.get_cpu_capability())
"""
    run_python(code, Path(__file__).parent, ATEN_CPU_CAPABILITY=capability)
