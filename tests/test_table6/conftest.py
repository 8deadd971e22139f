"""Cells with logs and results that no training wrote."""

import json

import pytest
from mmengine.config import Config

from mmdet_frn.compare.cells import Cell
from mmdet_frn.compare.results import write_result
from mmdet_frn.table6.lr_check import formula_lr

STEPS, RAMP_UP = {8: 40, 4: 80, 2: 160}, {8: 4, 4: 8, 2: 16}


@pytest.fixture
def make_cell(tmp_path):
    """Return a function that makes a cell, with a log of ``logged`` steps and a result ``ap``."""

    def make(method, images, base_lr=0.05, *, logged=None, ap=None, accumulate=8, lr_factor=1.0):
        lr = base_lr * images / 8
        cfg = Config(
            {
                'train_cfg': {'max_iters': STEPS[images] * accumulate},
                'optim_wrapper': {'optimizer': {'lr': lr}},
                'param_scheduler': {'type': 'RampUpCosineLR', 'ramp_up': RAMP_UP[images]},
            }
        )
        folder = tmp_path / f'{method.replace("*", "s")}_{images}_{base_lr}'
        gpus = 8 // accumulate
        cell = Cell(folder, method, images, gpus, 0, folder, cfg, accumulate, base_lr)
        log = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        lines = []
        for step in range(STEPS[images] if logged is None else logged):
            iteration = (step + 1) * accumulate
            value = lr_factor * formula_lr(step, lr, RAMP_UP[images], STEPS[images])
            record = {'loss': 1.0, 'lr': value, 'time': 0.5, 'step': iteration}
            lines.append(json.dumps(record) + '\n')
        log.write_text(''.join(lines))
        if ap is not None:
            metrics = {'coco/bbox_mAP': ap, 'coco/bbox_mAP_50': ap + 0.2, 'coco/bbox_mAP_75': ap}
            facts = {'peak_memory': {'mb': 1234, 'of': 'GPU'}}
            write_result(folder, metrics, folder / 'iter_1.pth', facts)
        return cell

    return make
