"""How long a training step of a detector takes on random images."""

from __future__ import annotations

import statistics
import time

import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

# COCO train2017 has 860001 boxes on 118287 images.
BOXES_PER_IMAGE = 7


def measure_step(cfg: Config, images: int, repeats: int) -> float:
    """Return the median seconds of ``repeats`` training steps on random images.

    Args:
        cfg: Config of a detector; the images are as large as its training pipeline resizes to.
        images: Images in the batch.
        repeats: Timed steps, after one that is not.
    """
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model).to(get_device()).train()
    # With accumulation most iterations would make no step of the optimizer.
    optim_wrapper = build_optim_wrapper(model, {**cfg.optim_wrapper, 'accumulative_counts': 1})
    batch = demo_mm_inputs(
        images,
        image_shapes=[(3, *_input_size(cfg))] * images,
        num_items=[BOXES_PER_IMAGE] * images,
        num_classes=cfg.model.bbox_head.num_classes,
        device=get_device(),
    )
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model.train_step(batch, optim_wrapper)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def _input_size(cfg: Config) -> tuple[int, int]:
    """Return height and width of the training images."""
    for transform in cfg.train_dataloader.dataset.pipeline:
        if transform.get('type') in {'Resize', 'RandomResize'}:
            width, height = transform.scale
            return height, width
    side = cfg.model.data_preprocessor.pad_size_divisor
    return side, side
