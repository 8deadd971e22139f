"""Training a tiny detector in processes of their own, as a user does."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from warm_process import run_script

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def tiny_cfg(tiny_shapes, tiny_options):
    """Return a function that makes the config of ``norm`` for ``steps``, seeded."""

    def make(norm, steps, **options):
        cfg = Config.fromfile(
            ROOT / f'configs/shapes/retinanet_r18-w32_fpn_{norm}-all_1xb2-1k_shapes-128.py'
        )
        given = {
            **tiny_options,
            'randomness': {'seed': 0, 'deterministic': True},
            'train_cfg.max_iters': steps,
            'train_cfg.val_interval': steps,
            'default_hooks.checkpoint.interval': steps // 2,
            **{f'{split}_dataloader.dataset.data_root': f'{tiny_shapes}/' for split in SPLITS},
            **{f'{split}_evaluator.ann_file': f'{tiny_shapes}/{VAL}' for split in SPLITS[1:]},
        }
        if norm == 'gn':
            parts = ('backbone', 'neck', 'bbox_head')
            given |= {f'model.{part}.norm_cfg.num_groups': 4 for part in parts}
        cfg.merge_from_dict({**given, **options})
        return cfg

    return make


@pytest.fixture
def options(tiny_shapes, tiny_options):
    """Options that make the config of the shapes tiny."""
    return {
        **tiny_options,
        **{f'{split}_dataloader.dataset.data_root': f'{tiny_shapes}/' for split in SPLITS},
        **{f'{split}_evaluator.ann_file': f'{tiny_shapes}/{VAL}' for split in SPLITS[1:]},
    }


SPLITS = ('train', 'val', 'test')
VAL = 'annotations/instances_val.json'


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
