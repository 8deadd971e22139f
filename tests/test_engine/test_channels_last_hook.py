"""A training in channels_last beside the same in PyTorch's default format."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from mmdet_frn.engine.train import train_detector

ROOT = Path(__file__).parents[2]
STEPS = 3


def run(norm, work_dir, options, channels_last):
    """Losses of each step, and whether tensors at the convolutions are channels_last."""
    formats = set()

    def watch(module, args, out):
        if isinstance(module, nn.Conv2d):
            weight = [module.weight] if module.kernel_size != (1, 1) else []  # 1x1 is both
            for tensor in (*args, *weight, out):
                formats.add(tensor.is_contiguous(memory_format=torch.channels_last))

    handle = register_module_forward_hook(watch)
    try:
        train_detector(
            ROOT / f'configs/shapes/retinanet_r18-w32_fpn_{norm}-all_1xb2-1k_shapes-128.py',
            work_dir=str(work_dir),
            channels_last=channels_last,
            options={
                **options,
                'randomness': {'seed': 0},
                'train_cfg.max_iters': STEPS,
                'train_cfg.val_interval': STEPS,
                'visualizer.name': work_dir.name,  # one of the same name would be shared
            },
        )
    finally:
        handle.remove()
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line['loss'] for line in lines if 'loss' in line], formats


@pytest.mark.parametrize('norm', ['frn', 'bn'])
def test_convolutions_are_channels_last_and_losses_the_same(norm, options, tmp_path):
    expected, formats = run(norm, tmp_path / f'{norm}-nchw', options, channels_last=False)
    assert formats == {False}
    losses, formats = run(norm, tmp_path / f'{norm}-nhwc', options, channels_last=True)
    assert formats == {True}
    assert len(losses) == STEPS
    assert losses == pytest.approx(expected, rel=1e-4)
