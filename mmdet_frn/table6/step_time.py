"""Measuring how long a training step takes on the machine at hand."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmdet_frn.compare.cells import Cell
from mmdet_frn.utils.files import write_text_atomic

# COCO train2017 has 860001 boxes on 118287 images.
_BOXES_PER_IMAGE = 7
# Of 1024x1024 fit 24 GB; one alone would leave BatchNorm nothing to average where a map is 1x1.
_IMAGES_ON_CPU = 2


@dataclass
class StepTimes:
    """Seconds of one iteration of one GPU for each method and number of images per GPU.

    ``images_measured`` is the batch that was timed; where it differs from the images per GPU, the
    time is taken as proportional. ``failures`` has the reason of what could not be timed.
    """

    device: str
    torch_version: str
    scale: float
    repeats: int
    images_measured: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def key(cell: Cell) -> str:
        """Under which a cell's time is kept."""
        return f'{cell.method}, {cell.images_per_gpu} images/GPU'

    def of(self, cell: Cell) -> float | None:
        """Seconds of an iteration of the cell, None if not measured."""
        return self.seconds.get(self.key(cell))

    @property
    def basis(self) -> str:
        """What an estimate rests on, in a sentence."""
        batches = ', '.join(map(str, sorted(set(self.images_measured.values()))))
        return (
            f'Step times: median of {self.repeats} training steps on {self.device} with torch '
            f'{self.torch_version} at scale {self.scale:g}, with batches of {batches} random '
            f'images (other batches in proportion) of {_BOXES_PER_IMAGE} boxes each; without '
            f'loading images, communication between GPUs and evaluation.'
        )

    def save(self, path: Path) -> None:
        """Write to a JSON file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(path, json.dumps(asdict(self), indent=2) + '\n')

    @classmethod
    def load(cls, path: Path) -> StepTimes | None:
        """Read what :meth:`save` wrote, None if there is no such file."""
        return cls(**json.loads(path.read_text(encoding='utf-8'))) if path.is_file() else None


def measure_step_times(
    cells: Iterable[Cell], scale: float, repeats: int, show: Callable[[str], None]
) -> StepTimes:
    """Time training steps of each method at each number of images per GPU.

    On a CPU two images at a time are timed, whose memory fits, and other batches reckoned from
    them.

    Args:
        cells: The cells; one of each method and number of images is timed.
        scale: The trial's factor, for the record.
        repeats: Timed steps of each, after a first one that is not.
        show: Called with a line on each measurement.
    """
    on_gpu = get_device() != 'cpu'
    device = torch.cuda.get_device_name() if on_gpu else f'CPU, {torch.get_num_threads()} threads'
    times = StepTimes(device, torch.__version__, scale, repeats)
    measured: dict[tuple[str, int], float] = {}
    for key, cell in {StepTimes.key(cell): cell for cell in cells}.items():
        images = cell.images_per_gpu if on_gpu else _IMAGES_ON_CPU
        try:
            if (cell.method, images) not in measured:
                measured[cell.method, images] = measure_step(cell.cfg, images, repeats)
        except torch.cuda.OutOfMemoryError as error:
            times.failures[key] = str(error).split('. ')[0]
            show(f'{key}: {times.failures[key]}')
            continue
        times.images_measured[key] = images
        times.seconds[key] = measured[cell.method, images] * cell.images_per_gpu / images
        show(f'{key}: {times.seconds[key]:.3f} s')
    return times


def measure_step(cfg: Config, images: int, repeats: int) -> float:
    """Return the median seconds of ``repeats`` training steps on random images.

    Args:
        cfg: Config of a detector whose input is padded to ``data_preprocessor.pad_size_divisor``.
        images: Images in the batch.
        repeats: Timed steps.
    """
    init_default_scope('mmdet')
    side = cfg.model.data_preprocessor.pad_size_divisor
    model = MODELS.build(cfg.model).to(get_device()).train()
    # With accumulation most iterations would make no step of the optimizer.
    optim_wrapper = build_optim_wrapper(model, {**cfg.optim_wrapper, 'accumulative_counts': 1})
    batch = demo_mm_inputs(
        images,
        image_shapes=[(3, side, side)] * images,
        num_items=[_BOXES_PER_IMAGE] * images,
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
