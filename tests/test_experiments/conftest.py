"""Runs with logs and results that no training wrote."""

import json

import pytest
from mmengine.config import Config

from mmdet_frn.experiments.results import read_rows, write_result
from mmdet_frn.experiments.runs import Run

STEPS = {8: 40, 4: 80, 2: 160}


@pytest.fixture
def make_run(tmp_path):
    """Return a function that makes a run, with a log of ``logged`` steps and a result ``ap``."""

    def make(norm, images, base_lr=0.05, *, seed=0, fold=None, logged=None, ap=None, accumulate=8):
        lr = (base_lr or 0.05) * images / 8
        cfg = Config(
            {
                'train_cfg': {'max_iters': STEPS[images] * accumulate},
                'optim_wrapper': {'optimizer': {'lr': lr}},
                'test_dataloader': {'dataset': {'data_root': 'data', 'ann_file': 'val.json'}},
            }
        )
        folder = tmp_path / f'{norm}_{images}_{base_lr}_{seed}_{fold}'
        gpus = 8 // accumulate
        run = Run(norm.lower(), norm, images, gpus, seed, folder, cfg, accumulate, base_lr, fold)
        log = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        lines = []
        for step in range(STEPS[images] if logged is None else logged):
            iteration = (step + 1) * accumulate
            record = {'loss': 1.0, 'lr': lr, 'time': 0.5, 'step': iteration}
            lines.append(json.dumps(record) + '\n')
        log.write_text(''.join(lines))
        if ap is not None:
            metrics = {'coco/bbox_mAP': ap, 'coco/bbox_mAP_50': ap + 0.2, 'coco/bbox_mAP_75': ap}
            facts = {'peak_memory': {'mb': 1234, 'of': 'GPU'}}
            write_result(folder, metrics, folder / 'iter_1.pth', facts)
        return run

    return make


@pytest.fixture
def make_row(make_run):
    """Return a function that makes a run as ``make_run`` does and reads it."""
    return lambda *args, **kwargs: read_rows([make_run(*args, **kwargs)])[0]
