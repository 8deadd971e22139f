"""The self-check of the fused kernels, with the CPU's kernels in the place of a GPU's."""

import json
import subprocess
import sys
import threading

import pytest
import torch

from mmdet_frn.ops import library, self_check

CPU = torch.device('cpu')


@pytest.fixture
def kernels():
    if not library.is_compiled():
        pytest.skip('compiled library absent')
    return torch.ops.mmdet_frn.frn.default


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A GPU that the module believes in; calls counts the checks, and verdict is what they find."""

    class Gpu:
        verdict = ''
        calls = 0
        identity = 'a GPU'

    def find_error(device):
        assert device == torch.device('cuda', 0)
        Gpu.calls += 1
        return Gpu.verdict

    monkeypatch.setattr(self_check, '_verdicts', {})
    monkeypatch.setattr(self_check, 'find_error', find_error)
    monkeypatch.setattr(self_check, '_identity', lambda index: Gpu.identity)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda index: 'a GPU')
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.delenv('MMDET_FRN_SELF_CHECK', raising=False)
    Gpu.new_process = lambda: monkeypatch.setattr(self_check, '_verdicts', {})
    return Gpu


def passes() -> bool:
    return self_check.passes(torch.device('cuda', 0))


def test_right_kernels_pass(kernels):
    assert self_check.find_error(CPU) == ''


def test_the_callers_modes_do_not_reach_the_check(kernels):
    random_state = torch.get_rng_state()
    with torch.inference_mode(), torch.autocast('cpu'):
        assert self_check.find_error(CPU) == ''
    assert torch.equal(random_state, torch.get_rng_state())


@pytest.mark.parametrize(
    ('spoil', 'seen'),
    [
        (lambda z: z * 1.01, 'z of float64'),
        (lambda z: z + (z.numel() == 600000) * (z.dtype == torch.half), 'z of float16 1x1x600000'),
        (lambda z: z.detach() + (z - z.detach()) * 1.05, 'dx of float64'),
        (lambda z: z * torch.nan if z.stride(1) == 1 else z, 'z of float64 2x64x13x11'),
    ],
)
def test_wrong_kernels_fail(kernels, spoil, seen):
    found = self_check.find_error(CPU, lambda *args: spoil(kernels(*args)))
    assert found.startswith(seen)


def test_kernels_that_raise_fail(kernels):
    def op(*args):
        raise RuntimeError('no kernel image is available\nfor this device')

    assert self_check.find_error(CPU, op) == 'RuntimeError: no kernel image is available'


def test_too_little_memory_says_nothing(kernels):
    def op(*args):
        raise torch.OutOfMemoryError

    assert self_check.find_error(CPU, op) is None


def test_a_device_is_checked_once(gpu, tmp_path):
    assert passes()
    assert passes()
    gpu.new_process()
    assert passes()
    assert gpu.calls == 1
    kept = json.loads((tmp_path / 'mmdet_frn' / 'self_check.json').read_text())
    assert kept == {'a GPU': ''}
    assert self_check.describe(0) == 'self-check passed'


def test_another_build_is_checked_again(gpu):
    assert passes()
    gpu.new_process()
    gpu.identity, gpu.verdict = 'a new build', 'z is off'
    with pytest.warns(RuntimeWarning, match='z is off.*Please report'):
        assert not passes()
    gpu.new_process()
    gpu.identity = 'a GPU'
    assert passes()


def test_a_failure_warns_once_and_lets_the_reference_run(gpu, recwarn):
    gpu.verdict = 'dx is off'
    assert not passes()
    assert not passes()
    assert [str(w.message) for w in recwarn if 'dx is off' in str(w.message)] != []
    assert len(recwarn) == 1
    assert self_check.describe(0) == 'self-check FAILED, the reference is used: dx is off'


@pytest.mark.parametrize('content', ['', '[]', '{"a GPU": 3}', 'no json'])
def test_a_broken_cache_is_replaced(gpu, tmp_path, content):
    file = tmp_path / 'mmdet_frn' / 'self_check.json'
    file.parent.mkdir()
    file.write_text(content)
    assert passes()
    assert json.loads(file.read_text()) == {'a GPU': ''}


def test_an_unwritable_cache_is_no_error(gpu, tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    assert passes()
    assert gpu.calls == 1


def test_an_unknown_verdict_is_not_kept(gpu, tmp_path):
    gpu.verdict = None
    assert passes()
    assert not (tmp_path / 'mmdet_frn').exists()
    gpu.verdict = 'z is off'
    with pytest.warns(RuntimeWarning, match='z is off'):
        assert not passes()


def test_the_check_can_be_turned_off(gpu, monkeypatch):
    monkeypatch.setenv('MMDET_FRN_SELF_CHECK', '0')
    assert passes()
    assert gpu.calls == 0
    assert 'off' in self_check.describe(0)


@pytest.mark.parametrize(
    ('module', 'name'),
    [
        (torch.cuda, 'is_current_stream_capturing'),
        (torch.cuda, '_is_in_bad_fork'),
        (torch.compiler, 'is_compiling'),
    ],
)
def test_no_check_in_a_capture_a_fork_or_a_trace(gpu, monkeypatch, module, name):
    with monkeypatch.context() as patch:
        patch.setattr(module, name, lambda: True)
        assert passes()
        assert gpu.calls == 0
    gpu.verdict = 'z is off'
    with pytest.warns(RuntimeWarning, match='z is off'):
        assert not passes()
    with monkeypatch.context() as patch:  # what is known counts there too
        patch.setattr(module, name, lambda: True)
        assert not passes()


def test_threads_check_a_device_once(gpu):
    threads = [threading.Thread(target=passes) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gpu.calls == 1


def test_a_device_that_fails_runs_on_the_reference(monkeypatch):
    monkeypatch.setattr(library, '_DEVICE_TYPES', frozenset({'cuda', 'cpu'}))
    monkeypatch.setattr(self_check, '_verdicts', {0: 'z is off', 1: ''})
    assert not library.runs_fused(torch.device('cuda', 0))
    assert library.runs_fused(torch.device('cuda', 1))
    assert library.runs_fused(CPU)
    with library.reference_only():
        assert not library.runs_fused(torch.device('cuda', 1))


def test_an_import_checks_nothing():
    code = (
        'import torch; import mmdet_frn.ops.self_check as check; '
        'print(check._verdicts, torch.cuda.is_initialized())'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '{} False'
