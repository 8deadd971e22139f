"""One setting moves all datasets: the environment variable, or --data-root."""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mmdet_frn.datasets import DatasetError, check_cfg, write_shapes
from mmdet_frn.experiments.main import plan_comparison
from mmdet_frn.experiments.plan import Setup
from mmdet_frn.experiments.runs import IDENTITY, load_run_config, prepare_folder
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.data_root import ENV, add_data_root, data_root, set_data_root
from mmdet_frn.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
# The ablations share the data of shapes.
CONFIGS = sorted(
    p.relative_to(ROOT).as_posix()
    for p in ROOT.glob('configs/[!_]*/*.py')
    if p.parent.name != 'ablations'
)
SHAPES = str(ROOT / 'configs/shapes/retinanet_r18-w32_fpn_frn-all_1xb2-1k_shapes-128.py')


def paths_in(node, key=''):
    """Return the values of a config that name where data lies: they end a data root or file."""
    if isinstance(node, Mapping):
        return [found for name, item in node.items() for found in paths_in(item, name)]
    if isinstance(node, (list, tuple)):
        return [found for item in node for found in paths_in(item, key)]
    is_path = isinstance(node, str) and (
        key == 'data_root' or (key == 'ann_file' and not node.startswith('annotations/'))
    )
    return [node] if is_path else []


def given(*arguments):
    parser = argparse.ArgumentParser()
    add_data_root(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize('root', [None, '/some where/sets', '../sets/'])
@pytest.mark.parametrize('path', CONFIGS)
def test_every_path_of_every_config_follows(path, root, monkeypatch):
    if root is None:
        monkeypatch.delenv(ENV, raising=False)
    else:
        monkeypatch.setenv(ENV, root)
    cfg = load_config(ROOT / path)
    base = Path(root or 'data')
    for found in paths_in(cfg.to_dict()):
        assert Path(found).is_relative_to(base), found
        assert Path(found).relative_to(base).parts[0] in ('coco', 'shapes', 'bccd')
    # What MMEngine's placeholder cannot miss: the default written out anywhere in the file.
    if root is not None:
        assert "'data/" not in cfg.pretty_text
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        if split != 'train':
            ann_file = Path(dataset.data_root, dataset.ann_file)
            assert Path(cfg[f'{split}_evaluator'].ann_file) == ann_file


def test_the_argument_comes_before_the_variable(monkeypatch):
    monkeypatch.delenv(ENV, raising=False)
    set_data_root(given())
    assert ENV not in os.environ
    assert data_root() == Path('data')
    monkeypatch.setenv(ENV, '/first//')
    set_data_root(given())
    assert os.environ[ENV] == '/first'
    set_data_root(given('--data-root', 'second/'))
    assert os.environ[ENV] == 'second'
    set_data_root(given('--data-root', '~/sets'))
    assert data_root() == Path.home() / 'sets'


@pytest.mark.parametrize('root', ['', "o'brien", 'a"b', 'back\\slash', '{{x}}', 'two\nlines'])
def test_a_value_that_no_config_can_hold_is_one_line(root, monkeypatch):
    monkeypatch.setenv(ENV, root)
    with pytest.raises(UsageError, match=f'^{ENV}, or --data-root, is ') as error:
        load_config(SHAPES)
    assert len(str(error.value).splitlines()) == 1


def test_a_missing_folder_names_the_setting(tmp_path, monkeypatch):
    monkeypatch.setenv(ENV, str(tmp_path / 'none'))
    with pytest.raises(DatasetError) as error:
        check_cfg(load_config(SHAPES))
    assert str(error.value).endswith(
        f'check data_root and ann_file, or name the folder of the datasets with --data-root or '
        f'{ENV} (now {tmp_path}/none, which does not exist)'
    )
    (tmp_path / 'none').mkdir()
    with pytest.raises(DatasetError, match=rf'{ENV} \(now {tmp_path}/none\)$'):
        check_cfg(load_config(SHAPES))


def test_other_errors_do_not_name_the_setting(tmp_path, monkeypatch):
    monkeypatch.setenv(ENV, str(tmp_path))
    set_of_shapes = write_shapes(tmp_path / 'shapes', 1, 1, 32)
    check_cfg(load_config(SHAPES))
    (set_of_shapes / 'train' / '000000.png').unlink()
    with pytest.raises(DatasetError, match=r'fetch the images$'):
        check_cfg(load_config(SHAPES))


def test_loading_says_nothing(tmp_path):
    """In a process of its own: MMEngine's logger keeps the stream that it first met."""
    code = f'from mmdet_frn.utils.config import load_config; load_config({SHAPES!r})'
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        env={**os.environ, ENV: str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 'Using env variable' not in done.stdout + done.stderr


def test_a_run_keeps_the_data_that_it_was_made_with(tmp_path, monkeypatch):
    def run_with(root):
        monkeypatch.setenv(ENV, root)
        (run,) = plan_comparison([SHAPES], [2], tmp_path / 'work', Setup())
        return run

    run = run_with('/first')
    prepare_folder(run)
    # The training process reads the config that was kept, whatever the environment says then.
    monkeypatch.setenv(ENV, '/second')
    kept = load_run_config(run.folder / IDENTITY)
    assert {str(Path(path).parents[0])[:6] for path in paths_in(kept.to_dict())} == {'/first'}
    with pytest.raises(
        UsageError, match=r"\(test_dataloader.dataset.data_root was '/first/shapes/', is '/second"
    ):
        prepare_folder(run_with('/second'))
    prepare_folder(run_with('/first'))


def test_other_data_makes_the_setting_void(tmp_path, tiny_shapes, monkeypatch):
    for root in ('/first', '/second'):
        monkeypatch.setenv(ENV, root)
        (run,) = plan_comparison([SHAPES], [2], tmp_path / 'work', Setup(data=tiny_shapes))
        prepare_folder(run)
