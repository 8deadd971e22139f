"""Training steps of a detector on random images, and how long they take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

# COCO train2017 has 860001 boxes on 118287 images.
BOXES_PER_IMAGE = 7


def random_step(
    cfg: Config,
    images: int,
    size: tuple[int, int],
    device: torch.device | str,
    *,
    update: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Callable[[], None]:
    """Return a training step of a detector, of weights drawn with seed 0, on one random batch.

    Args:
        cfg: Config of the detector.
        images: Images in the batch.
        size: Height and width of the images.
        device: Where to run.
        update: Whether the config's optimizer makes a step. Default True.
        dtype: bf16 or fp16 for autocast to it. Default fp32.
    """
    init_default_scope('mmdet')
    device = torch.device(device)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).to(device).train()
    # With accumulation most iterations would make no step of the optimizer.
    wrapper = build_optim_wrapper(model, {**cfg.optim_wrapper, 'accumulative_counts': 1})
    batch = demo_mm_inputs(
        images,
        image_shapes=[(3, *size)] * images,
        num_items=[BOXES_PER_IMAGE] * images,
        num_classes=cfg.model.bbox_head.num_classes,
        device=device,
    )
    data = model.data_preprocessor(batch, training=True)

    def step() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            losses = model(**data, mode='loss')
        loss = model.parse_losses(losses)[0]
        if update:
            wrapper.update_params(loss)
        else:
            loss.backward()
            model.zero_grad(set_to_none=True)

    return step


def measure_step(cfg: Config, images: int, repeats: int) -> float:
    """Return the median seconds of ``repeats`` training steps on random images.

    Args:
        cfg: Config of a detector; the images are as large as its training pipeline resizes to.
        images: Images in the batch.
        repeats: Timed steps, after one that is not.
    """
    step = random_step(cfg, images, _input_size(cfg), get_device())
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step()
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
