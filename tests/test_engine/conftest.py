"""Training a tiny detector in processes of their own, as a user does."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from warm_process import run_script

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def tiny_cfg(tiny_shapes, tiny_config):
    """Return a function that makes the config of ``norm`` for ``steps``, seeded."""

    def make(norm, steps, **options):
        given = {
            'randomness': {'seed': 0, 'deterministic': True},
            'train_cfg.max_iters': steps,
            'train_cfg.val_interval': steps,
            'default_hooks.checkpoint.interval': steps // 2,
            **paths(tiny_shapes),
        }
        return tiny_config(norm, {**given, **options})

    return make


@pytest.fixture
def options(tiny_shapes, tiny_options):
    """Options that make the config of the shapes tiny."""
    return {**tiny_options, **paths(tiny_shapes)}


def paths(root):
    """Options that let a config read the set in ``root``."""
    ann_file = f'{root}/annotations/instances_val.json'
    return {
        **{f'{s}_dataloader.dataset.data_root': f'{root}/' for s in ('train', 'val', 'test')},
        **{f'{s}_evaluator.ann_file': ann_file for s in ('val', 'test')},
    }


@pytest.fixture
def train(tmp_path):
    """Return a function that trains a config through tools/train.py; its work directory results.

    ``new`` starts a new interpreter.
    """

    def run(cfg, name, *args, processes=1, new=False):
        cfg.dump(tmp_path / f'{name}.py')
        command = ['tools/train.py', tmp_path / f'{name}.py', '--work-dir', tmp_path / name, *args]
        command = list(map(str, command))
        if new:
            command.insert(0, sys.executable)
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        else:
            launcher = ('--launcher', 'pytorch') if processes > 1 else ()
            done = run_script(*command, *launcher, processes=processes)
        assert done.returncode == 0, done.stdout + done.stderr
        return tmp_path / name

    return run


@pytest.fixture(scope='session')
def weights():
    """Return a function that loads the weights of a checkpoint."""

    def load(work_dir, iteration):
        return torch.load(work_dir / f'iter_{iteration}.pth', weights_only=False)['state_dict']

    return load
