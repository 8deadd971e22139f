"""Exporting a detector from its config and checkpoint, and checking the file: one command."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint
from torch import nn

from mmdet_frn.datasets import write_shapes
from mmdet_frn.engine.checkpoint import safe_checkpoints
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError

from .check import Difference, compare_image, compare_raw, prepare, runtimes
from .detector import RawDetector
from .onnx import OPSET, export_detector

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')
# Largest differences of boxes (pixels) and scores and the least share of common detections that
# pass: what rounding leaves, in fp32 and in fp16.
LIMITS = {False: (0.1, 1e-3, 0.99), True: (2.0, 0.03, 0.9)}


def build_detector(cfg: Config, checkpoint: str | Path | None) -> nn.Module:
    """Build a config's detector, on the CPU and for inference.

    Args:
        cfg: The config.
        checkpoint: Its weights; None leaves them as initialised, without pretrained ones.

    Raises:
        UsageError: the checkpoint does not exist, is refused or does not fit the model.
    """
    register_all_modules()
    model = MODELS.build(cfg.model)
    if checkpoint is None:
        model.backbone.init_cfg = None
        logger = MMLogger.get_current_instance()
        level = logger.level
        logger.setLevel(logging.WARNING)  # a line for every parameter otherwise
        model.init_weights()
        logger.setLevel(level)
        return model.eval()
    try:
        with safe_checkpoints():
            load_checkpoint(
                model, str(checkpoint), map_location='cpu', strict=True, logger='silent'
            )
    except RuntimeError as error:
        reason = ' '.join(str(error).split())[:200]
        raise UsageError(f'checkpoint {checkpoint} does not fit the model: {reason}') from None
    return model.eval()


def find_images(paths: list[Path]) -> list[Path]:
    """Return image files, and those of folders.

    Raises:
        UsageError: a path does not exist, or there is no image in a folder.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise UsageError(f'--images: {path} does not exist')
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        images = [file for file in files if file.suffix.lower() in SUFFIXES]
        if not images:
            raise UsageError(f'--images: {path} holds no image ({", ".join(SUFFIXES)})')
        found += images
    return found


def export(
    config: str | Path,
    checkpoint: str | Path | None,
    out: str | Path,
    *,
    images: list[Path] | None = None,
    static: tuple[int, int] | None = None,
    half: bool = False,
    raw: bool = False,
    opset: int = OPSET,
    options: dict | None = None,
) -> int:
    """Write a detector as an ONNX file and compare its detections with MMDetection's.

    Args:
        config: Config file.
        checkpoint: Checkpoint file; None for random weights.
        out: File to write.
        images: Image files or folders to compare on. Default: four generated ones.
        static: Height and width of all images. Default None: number and size of images are open.
        half: As for :func:`mmdet_frn.export.onnx.export_detector`. Default False.
        raw: As there. Default False.
        opset: As there. Default 18.
        options: ``--cfg-options``. Default None.

    Returns:
        0, or 1 where the differences are more than rounding leaves.

    Raises:
        UsageError: an argument, config or checkpoint is unusable.
    """
    cfg = load_config(config, options)
    files = find_images(images) if images else []
    if not Path(out).parent.is_dir():
        raise UsageError(f'-o {out}: {Path(out).parent} is not a directory')
    model = build_detector(cfg, checkpoint)
    export_detector(
        model, out, static or (256, 320), dynamic=static is None, half=half, raw=raw, opset=opset
    )
    print(f'{out}: {Path(out).stat().st_size / 2**20:.1f} MiB, opset {opset}')
    with tempfile.TemporaryDirectory() as folder:
        if not files:
            files = sorted((write_shapes(Path(folder, 'shapes'), 1, 4, 256) / 'val').iterdir())
        data = [prepare(cfg, file, static) for file in files]
    return _check(model, data, out, half, raw)


def _check(model: nn.Module, data: list[dict], out: str | Path, half: bool, raw: bool) -> int:
    found = runtimes(out)
    if not found:
        print('not checked: neither onnxruntime nor openvino is installed')
    status = 0
    for name, run in found.items():
        if raw:
            largest = max(compare_raw(RawDetector(model), image, run) for image in data)
            print(f'{name}: {len(data)} images, largest difference of the outputs {largest:.2g}')
            continue
        total = sum((compare_image(model, image, run) for image in data), Difference())
        box, score, share = LIMITS[half]
        good = total.box <= box and total.score <= score
        good = good and total.matched >= share * total.detections
        print(
            f'{name}: {len(data)} images, {total.matched} of {total.detections} detections in '
            f'both, largest difference of boxes {total.box:.2g} pixels, of scores '
            f'{total.score:.2g}: {"equal up to rounding" if good else "DIFFERENT"}'
        )
        status = status if good else 1
    return status
