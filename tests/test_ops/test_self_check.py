"""The self-check of the fused kernels, with the CPU's kernels in the place of a GPU's."""

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from mmdet_frn.ops import library, self_check
from mmdet_frn.ops.self_check_calls import CALLS

CPU = torch.device('cpu')


OPS = list(CALLS)


@pytest.fixture(params=OPS)
def name(request):
    """An op with CUDA kernels, as it runs on a CPU."""
    if not library.has_kernels('cpu', request.param):
        pytest.skip('compiled library absent, or older than this op')
    return request.param


@pytest.fixture
def kernels(name):
    return getattr(torch.ops.mmdet_frn, name).default


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A GPU that the module believes in: the verdict on each op, and the ops that were checked."""

    class Gpu:
        verdicts = dict.fromkeys(OPS, '')
        checked = []
        build = 'a build'

    def find_error(op, device):
        assert device == torch.device('cuda', 0)
        Gpu.checked.append(op)
        return Gpu.verdicts[op]

    monkeypatch.setattr(self_check, '_verdicts', {})
    monkeypatch.setattr(self_check, 'find_error', find_error)
    monkeypatch.setattr(self_check, '_identity', lambda op, index: f'{op}, {Gpu.build}')
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda index: 'a GPU')
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: False)
    monkeypatch.setattr(library, '_DEVICES_OF', dict.fromkeys(OPS, frozenset({'cpu', 'cuda'})))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.delenv('MMDET_FRN_SELF_CHECK', raising=False)
    Gpu.new_process = lambda: monkeypatch.setattr(self_check, '_verdicts', {})
    return Gpu


def passes(op: str = 'frn') -> bool:
    return library.runs_fused(op, torch.device('cuda', 0))


def test_every_op_with_cuda_kernels_is_checked():
    registered = set()
    for source in (Path(library.__file__).parent / 'csrc').glob('*.cpp'):
        for block in source.read_text().split('TORCH_LIBRARY_IMPL(mmdet_frn, CUDA')[1:]:
            kernels = re.findall(r'm\.impl\("(\w+)"', block.partition('\n}')[0])
            registered |= {re.sub('_(forward|backward)$', '', kernel) for kernel in kernels}
    assert registered == set(OPS)


def test_right_kernels_pass(name, device):
    if not library.has_kernels(device.type, name):
        pytest.skip(f'no {device.type} kernels of this op')
    assert self_check.find_error(name, device) == ''


def test_the_callers_modes_do_not_reach_the_check(name):
    random_state = torch.get_rng_state()
    with torch.inference_mode(), torch.autocast('cpu'):
        assert self_check.find_error(name, CPU) == ''
    assert torch.equal(random_state, torch.get_rng_state())


@pytest.mark.parametrize(
    ('spoil', 'seen'),
    [
        (lambda z: z * 1.01, 'z of float64'),
        (lambda z: z + (z.numel() > 150000) * (z.dtype == torch.half), r'z of float16 \w*000'),
        (lambda z: z.detach() + (z - z.detach()) * 1.05, 'dx of float64'),
        (lambda z: z * torch.nan if z.stride(1) == 1 else z, 'z of float64 2x64x13x11'),
    ],
)
def test_wrong_kernels_fail(name, kernels, spoil, seen):
    found = self_check.find_error(name, CPU, lambda *args: spoil(kernels(*args)))
    assert re.match(seen, found)


@pytest.mark.parametrize(
    'wrong',
    [
        dict(num_groups=lambda groups: 1),
        dict(centered=lambda centered: not centered),
        dict(eps=lambda eps: 1.1 * eps),
        dict(tau=lambda tau: None),
        dict(relu=lambda relu: False),
        dict(residual=lambda residual: None),
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_an_argument_that_kernels_of_group_norm_ignore_is_seen(wrong):
    if not library.has_kernels('cpu', 'group_norm'):
        pytest.skip('compiled library absent, or older than this op')
    names = ['x', 'weight', 'bias', 'num_groups', 'eps', 'centered', 'tau', 'relu', 'residual']

    def op(*args):
        args = dict(zip(names, args, strict=True))
        change = {key: ignore(args[key]) for key, ignore in wrong.items()}
        z = torch.ops.mmdet_frn.group_norm.default(*(args | change).values())
        # All are differentiated.
        return z + 0 * sum(t.sum() for t in args.values() if isinstance(t, torch.Tensor))

    assert ' is off by ' in self_check.find_error('group_norm', CPU, op)


@pytest.mark.parametrize('function', ['tlu', 'affine_tlu', 'dyt'])
def test_a_pointwise_function_with_the_parameters_of_another_channel_is_seen(function):
    if not library.has_kernels('cpu', 'pointwise'):
        pytest.skip('compiled library absent, or older than this op')

    def op(x, params, called):
        wrong = [p.roll(1) if called == function else p for p in params]
        return torch.ops.mmdet_frn.pointwise.default(x, wrong, called)

    assert ' is off by ' in self_check.find_error('pointwise', CPU, op)


def test_kernels_that_raise_fail(name):
    def op(*args):
        raise RuntimeError('no kernel image is available\nfor this device')

    assert self_check.find_error(name, CPU, op) == 'RuntimeError: no kernel image is available'


def test_too_little_memory_says_nothing(name):
    def op(*args):
        raise torch.OutOfMemoryError

    assert self_check.find_error(name, CPU, op) is None


def test_an_op_is_checked_once_on_its_first_use(gpu, tmp_path):
    for _ in range(2):
        assert passes('frn')
        assert passes('frn')
        gpu.new_process()
    assert gpu.checked == ['frn']
    assert passes('group_norm')
    assert gpu.checked == ['frn', 'group_norm']
    kept = json.loads((tmp_path / 'mmdet_frn' / 'self_check.json').read_text())
    assert kept == {'frn, a build': '', 'group_norm, a build': ''}
    assert self_check.describe('group_norm', 0) == 'self-check passed'


def test_another_build_is_checked_again(gpu):
    assert passes()
    gpu.new_process()
    gpu.build, gpu.verdicts['frn'] = 'a new build', 'z is off'
    with pytest.warns(RuntimeWarning, match='z is off.*Please report'):
        assert not passes()
    gpu.new_process()
    gpu.build = 'a build'
    assert passes()


@pytest.mark.parametrize('wrong', OPS)
def test_only_an_op_that_fails_warns_once_and_runs_on_the_reference(gpu, recwarn, wrong):
    gpu.verdicts[wrong] = 'dx is off'
    for _ in range(2):
        assert {op: passes(op) for op in OPS} == {op: op != wrong for op in OPS}
    assert len(recwarn) == 1
    assert f'the CUDA kernels of {wrong} of mmdet_frn fail' in str(recwarn[0].message)
    assert self_check.describe(wrong, 0) == 'self-check FAILED, the reference is used: dx is off'
    gpu.new_process()  # which the file tells
    assert {op: passes(op) for op in OPS} == {op: op != wrong for op in OPS}
    assert sorted(gpu.checked) == sorted(OPS)


@pytest.mark.parametrize('content', ['', '[]', '{"frn, a build": 3}', 'no json'])
def test_a_broken_cache_is_replaced(gpu, tmp_path, content):
    file = tmp_path / 'mmdet_frn' / 'self_check.json'
    file.parent.mkdir()
    file.write_text(content)
    assert passes()
    assert json.loads(file.read_text()) == {'frn, a build': ''}


def test_an_unwritable_cache_is_no_error(gpu, tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    assert passes()
    assert gpu.checked == ['frn']


def test_an_unknown_verdict_is_not_kept(gpu, tmp_path):
    gpu.verdicts['frn'] = None
    assert passes()
    assert not (tmp_path / 'mmdet_frn').exists()
    gpu.verdicts['frn'] = 'z is off'
    with pytest.warns(RuntimeWarning, match='z is off'):
        assert not passes()


def test_the_checks_can_be_turned_off(gpu, monkeypatch):
    monkeypatch.setenv('MMDET_FRN_SELF_CHECK', '0')
    for op in OPS:
        assert passes(op)
        assert 'off' in self_check.describe(op, 0)
    assert gpu.checked == []


@pytest.mark.parametrize('op', OPS)
@pytest.mark.parametrize(
    ('module', 'name'),
    [
        (torch.cuda, 'is_current_stream_capturing'),
        (torch.cuda, '_is_in_bad_fork'),
        (torch.compiler, 'is_compiling'),
    ],
)
def test_no_check_in_a_capture_a_fork_or_a_trace(gpu, monkeypatch, module, name, op):
    with monkeypatch.context() as patch:
        patch.setattr(module, name, lambda: True)
        assert passes(op)
        assert gpu.checked == []
    gpu.verdicts[op] = 'z is off'
    with pytest.warns(RuntimeWarning, match='z is off'):
        assert not passes(op)
    with monkeypatch.context() as patch:  # what is known counts there too
        patch.setattr(module, name, lambda: True)
        assert not passes(op)


def test_a_trace_takes_what_is_known(gpu):
    torch._dynamo.reset()
    scale = torch.compile(
        lambda x: 2 * x if passes('group_norm') else x, fullgraph=True, backend='eager'
    )
    assert scale(torch.ones(())) == 2
    assert gpu.checked == []
    gpu.verdicts['group_norm'] = 'z is off'
    with pytest.warns(RuntimeWarning, match='z is off'):
        assert not passes('group_norm')
    torch._dynamo.reset()
    assert scale(torch.ones(())) == 1


def test_threads_check_a_device_once(gpu):
    threads = [threading.Thread(target=passes) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gpu.checked == ['frn']


def test_a_device_that_fails_runs_on_the_reference(gpu, monkeypatch):
    monkeypatch.setattr(self_check, '_verdicts', {('frn', 0): 'z is off', ('frn', 1): ''})
    assert not library.runs_fused('frn', torch.device('cuda', 0))
    assert library.runs_fused('frn', torch.device('cuda', 1))
    assert library.runs_fused('frn', CPU)
    with library.reference_only():
        assert not library.runs_fused('frn', torch.device('cuda', 1))


def test_an_op_without_cuda_kernels_runs_on_the_reference_unchecked(gpu, monkeypatch):
    """As of a build from before they were written."""
    monkeypatch.setitem(library._DEVICES_OF, 'group_norm', frozenset({'cpu'}))
    assert library.ops_with_kernels('cuda') == [op for op in OPS if op != 'group_norm']
    assert not passes('group_norm')
    assert gpu.checked == []


def test_an_import_checks_nothing():
    code = (
        'import torch; import mmdet_frn.ops.self_check as check; '
        'print(check._verdicts, torch.cuda.is_initialized())'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '{} False'
