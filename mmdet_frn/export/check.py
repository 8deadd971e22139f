"""Comparing an exported detector with MMDetection's own predictions, image by image."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import Tensor, nn
from torchvision.ops import box_iou

Run = Callable[[np.ndarray], list[np.ndarray]]
SAME_OBJECT = 0.9  # overlap from which a detection is taken for the other's


@dataclass(frozen=True)
class Difference:
    """How far the detections of two runtimes are apart: sums over images, largest differences."""

    detections: int = 0
    matched: int = 0
    box: float = 0.0
    score: float = 0.0

    def __add__(self, other: Difference) -> Difference:
        """Return the difference on the images of both."""
        return Difference(
            self.detections + other.detections,
            self.matched + other.matched,
            max(self.box, other.box),
            max(self.score, other.score),
        )


def runtimes(path: str | Path) -> dict[str, Run]:
    """Return a function for each installed runtime that computes the file's outputs."""
    found = {}
    if importlib.util.find_spec('onnxruntime'):
        found['onnxruntime'] = _onnxruntime(path)
    if importlib.util.find_spec('openvino'):
        found['openvino'] = _openvino(path)
    return found


def _onnxruntime(path: str | Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return lambda images: session.run(None, {'images': images})


def _openvino(path: str | Path) -> Run:
    import openvino

    # OpenVINO's CPU device computes in bf16 where the processor can, unless told otherwise.
    model = openvino.Core().compile_model(str(path), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    return lambda images: [model({'images': images})[output] for output in model.outputs]


def prepare(cfg: Config, image: str | Path, size: tuple[int, int] | None = None) -> dict:
    """Read and resize an image as the config's test pipeline does, or to a fixed ``size``."""
    pipeline = [dict(t) for t in get_test_pipeline_cfg(cfg) if 'Annotations' not in t['type']]
    for transform in pipeline:
        if size and transform['type'] == 'Resize':
            transform.update(scale=size[::-1], keep_ratio=False)
    return Compose(pipeline)({'img_path': str(image), 'img_id': 0})


def compare_image(model: BaseModel, data: dict, run: Run) -> Difference:
    """Detect in one image with MMDetection and with a runtime.

    Args:
        model: The detector in PyTorch.
        data: The image, from :func:`prepare`.
        run: A runtime with a file written by :func:`mmdet_frn.export.onnx.export_detector`.
    """
    with torch.no_grad():
        batch = {'inputs': [data['inputs']], 'data_samples': [data['data_samples']]}
        expected = model.test_step(batch)[0].pred_instances
    outputs = run(data['inputs'][None].float().numpy())
    dets, labels = (torch.from_numpy(output)[0] for output in outputs)
    dets, labels = dets[labels >= 0], labels[labels >= 0]
    # Detections come in pixels of the resized image, MMDetection's in those of the file.
    scale = dets.new_tensor(data['data_samples'].scale_factor).repeat(2)
    return compare(
        (expected.bboxes, expected.scores, expected.labels),
        (dets[:, :4] / scale, dets[:, 4], labels),
    )


def compare_raw(graph: nn.Module, data: dict, run: Run) -> float:
    """Return the largest difference of a head's outputs, of a ``RawDetector`` and a runtime."""
    images = data['inputs'][None].float()
    with torch.no_grad():
        pairs = zip(graph(images), run(images.numpy()), strict=True)
    return max((expected - torch.from_numpy(got)).abs().max().item() for expected, got in pairs)


def compare(expected: Sequence[Tensor], found: Sequence[Tensor]) -> Difference:
    """Match detections of one class that overlap by 0.9, best scores first.

    Args:
        expected: Boxes (M, 4), scores (M,) and labels (M,).
        found: Those of the other.
    """
    if not len(expected[0]) or not len(found[0]):
        return Difference(max(len(expected[0]), len(found[0])))
    overlap = box_iou(expected[0], found[0]) * (expected[2][:, None] == found[2])
    overlap, pair = overlap.max(1)
    same = overlap > SAME_OBJECT
    if not same.any():
        return Difference(max(len(expected[0]), len(found[0])))
    boxes = (expected[0] - found[0][pair])[same].abs().max()
    scores = (expected[1] - found[1][pair])[same].abs().max()
    number = max(len(expected[0]), len(found[0]))
    return Difference(number, len(pair[same].unique()), boxes.item(), scores.item())
