"""Checkpoints are data: code planted in one is not run, and one that does not fit is refused."""

import pickle

import pytest
import torch
from helpers import SHAPES_CONFIG as CONFIG
from helpers import Payload, refused
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS
from mmengine.runner import load_checkpoint
from torch import nn

from mmdet_frn.engine.checkpoint import (
    TRUST,
    check_resumable,
    load_strictly,
    read_checkpoint,
    safe_checkpoints,
)
from mmdet_frn.engine.evaluate import evaluate_detector
from mmdet_frn.engine.train import train_detector
from mmdet_frn.utils.errors import UsageError


class Chain:
    """Reaches for a method by getattr, which MMEngine's own list of safe names allows."""

    def __reduce__(self):
        return getattr, (torch.Tensor, 'numpy')


@pytest.fixture
def planted(tmp_path):
    return tmp_path / 'planted'


@pytest.fixture
def evil(tmp_path, planted):
    path = tmp_path / 'evil.pth'
    torch.save({'state_dict': nn.Linear(2, 2).state_dict(), 'x': Payload(planted)}, path)
    return path


@pytest.mark.parametrize('new', [True, False])
def test_code_in_a_checkpoint_is_not_run_and_is_named(new, evil, planted):
    torch.save({'x': Payload(planted)}, evil, _use_new_zipfile_serialization=new)
    message = refused(read_checkpoint, evil)
    assert message.startswith(f'checkpoint {evil} is refused, because loading it could run code')
    assert 'posix.mkdir' in message
    assert '--unsafe-checkpoint' in message
    assert not planted.exists()


def test_mmengine_alone_runs_it(evil, planted):
    load_checkpoint(nn.Linear(2, 2), str(evil))
    assert planted.exists()


def test_mmengine_does_not_run_it_within(evil, planted):
    with safe_checkpoints():
        assert 'posix.mkdir' in refused(load_checkpoint, nn.Linear(2, 2), str(evil))
        # The other schemes go through torch.load too, MMEngine's fallback included.
        with pytest.raises(UsageError, match=r'posix\.mkdir'):
            load_checkpoint(nn.Linear(2, 2), evil.as_uri().replace('file', 'test'))
    assert not planted.exists()


@pytest.fixture(autouse=True)
def test_scheme():
    """A scheme of path beside MMEngine's own, which loads as those of object stores do."""
    from mmengine.runner import CheckpointLoader
    from mmengine.runner.checkpoint import load_from_local

    def load_from_test(filename, map_location=None):
        return load_from_local(filename.removeprefix('test://'), map_location)

    CheckpointLoader.register_scheme('test://', load_from_test)
    yield
    del CheckpointLoader._schemes['test://']


def test_the_user_can_trust_a_file(evil, planted, monkeypatch):
    monkeypatch.setenv(TRUST, '1')
    with safe_checkpoints():
        load_checkpoint(nn.Linear(2, 2), str(evil))
    assert planted.exists()


@pytest.mark.parametrize('how', ['test', 'resume', 'auto', 'load_from'])
def test_no_entry_point_runs_it(how, evil, planted, options, tmp_path):
    work = tmp_path / 'work'
    if how == 'test':
        message = refused(evaluate_detector, CONFIG, evil, options=options, work_dir=str(work))
    else:
        if how == 'load_from':
            options['load_from'] = str(evil)
        elif how == 'auto':
            work.mkdir()
            (work / 'last_checkpoint').write_text(str(evil))
        resume = {'resume': str(evil), 'auto': 'auto'}.get(how)
        message = refused(
            train_detector, CONFIG, work_dir=str(work), options=options, resume=resume
        )
    assert 'posix.mkdir' in message
    assert not planted.exists()
    assert how == 'auto' or not work.exists()


def test_the_config_in_a_checkpoint_is_not_run(tmp_path, planted):
    path = tmp_path / 'evil.pth'
    code = f'__import__("os").mkdir({str(planted)!r})'
    torch.save({'meta': {'config': f'x = {code}', 'iter': 3}}, path)
    for name in (str(path), path.as_uri().replace('file', 'test')):
        with safe_checkpoints():
            from mmengine.runner import CheckpointLoader

            assert CheckpointLoader.load_checkpoint(name)['meta'] == {'iter': 3}


def test_getattr_reaches_nothing_but_the_methods_that_mmengine_saves(tmp_path):
    torch.save({'x': Chain()}, tmp_path / 'chain.pth')
    refused(read_checkpoint, tmp_path / 'chain.pth')


def test_what_mmengine_saves_is_read(tmp_path):
    hub = MessageHub('checkpoint')
    for loss in (1.0, 3.0):
        hub.update_scalar('loss', loss)
    hub.update_info('numbers', [torch.ones(1).numpy()[0], 2])
    path = tmp_path / 'hub.pth'
    torch.save({'message_hub': hub.state_dict(), 'meta': {'seed': 3}}, path)
    found = read_checkpoint(path)
    assert found['message_hub']['log_scalars']['loss'].mean() == 2
    assert found['message_hub']['runtime_info']['numbers'] == [1, 2]


@pytest.mark.parametrize('content', [b'', b'hello world\n' * 50, pickle.dumps({'a': 1}), None])
def test_no_checkpoint_is_one_line(content, tmp_path):
    path = tmp_path / 'some.pth'
    if content is None:
        torch.save({'state_dict': nn.Linear(99, 99).state_dict()}, path)
        content = path.read_bytes()[:9000]
    path.write_bytes(content)
    assert refused(read_checkpoint, path).endswith('it is cut short, damaged or no checkpoint')


@pytest.mark.parametrize('content', [{'state_dict': {}}, {}, [1], {'meta': {'iter': 3}}])
def test_weights_alone_are_not_resumed(content, tmp_path):
    torch.save(content, tmp_path / 'weights.pth')
    message = refused(check_resumable, tmp_path / 'weights.pth')
    assert ' cannot be resumed: it has no ' in message
    assert 'load_from=' in message


class _Runner:
    """As much of MMEngine's Runner as loads a checkpoint."""

    def __init__(self, model):
        self.model = model
        self.load_checkpoint = lambda path, **kwargs: load_checkpoint(model, path, **kwargs)


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        ({}, '2 missing keys: weight, bias; give'),
        ({'a': [1], 'weight': [1, 1], 'b': [1], 'c': [1], 'd': [1]},
         '1 missing keys: bias; 4 unexpected keys: a, b, c and 1 more; '),
        ({'weight': [2, 1], 'bias': [1]}, '1 other shapes: weight; give'),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_model_is_named(shapes, message, tmp_path):
    weights = {key: torch.ones(shape) for key, shape in shapes.items()}
    torch.save({'state_dict': weights}, tmp_path / 'other.pth')
    runner = _Runner(nn.Linear(1, 1))
    load_strictly(runner, 'give another')
    found = refused(runner.load_checkpoint, str(tmp_path / 'other.pth'))
    assert found.startswith(f'checkpoint {tmp_path}/other.pth does not fit the model: {message}')


@HOOKS.register_module()
class NeverTests(Hook):
    def before_test(self, runner):
        raise AssertionError('the test began')


@pytest.mark.parametrize('content', [{}, nn.Linear(2, 2).state_dict()])
def test_a_foreign_checkpoint_is_not_evaluated(content, options, tmp_path):
    torch.save({'state_dict': content}, tmp_path / 'other.pth')
    options = {**options, 'custom_hooks': [{'type': 'NeverTests'}]}
    arguments = {'options': options, 'work_dir': str(tmp_path / 'work')}
    message = refused(evaluate_detector, CONFIG, tmp_path / 'other.pth', **arguments)
    assert ' missing keys: backbone.conv1.weight, ' in message
    assert '--no-strict' in message
    assert ('2 unexpected keys: weight, bias' in message) == bool(content)


def test_a_file_that_does_not_exist_is_called_so(tmp_path):
    assert refused(read_checkpoint, tmp_path / 'none.pth').endswith('none.pth does not exist')
