"""Writing a whole detector as an ONNX file."""

from __future__ import annotations

import copy
import inspect
import warnings
from pathlib import Path

import torch
from mmdet.models.detectors import SingleStageDetector
from torch import nn

from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.files import replacing

from .detector import Detector, RawDetector
from .nms import onnx_translation

OPSET = 18


def export_detector(
    model: nn.Module,
    path: str | Path,
    size: tuple[int, int],
    *,
    dynamic: bool = True,
    half: bool = False,
    raw: bool = False,
    opset: int = OPSET,
) -> None:
    """Write a single-stage detector in standard ONNX operators.

    Its input is ``images``, (N, 3, H, W); its outputs are ``dets`` (N, K, 5) and ``labels`` (N, K)
    of :class:`Detector`, or of each level ``scores_<l>`` and ``deltas_<l>``.

    Args:
        model: The detector; it is not changed.
        path: File to write.
        size: Height and width of the images that the graph is traced with.
        dynamic: Leave the number and size of images open. Default True; else one image of ``size``.
        half: Parameters and maps in fp16, with FRN's statistics, decoding and NMS in fp32, and
            casts in the graph. Default False.
        raw: End with the outputs of the head. Default False.
        opset: Version of the operator set, from 18 on. Default 18.

    Raises:
        UsageError: the model is no single-stage detector, or cannot be decoded, or PyTorch is older
            than 2.6.
    """
    if not isinstance(model, SingleStageDetector):
        raise UsageError(
            f'{type(model).__name__} is no single-stage detector; only these are exported'
        )
    if 'custom_translation_table' not in inspect.signature(torch.onnx.export).parameters:
        raise UsageError(
            f'exporting a detector needs PyTorch 2.6 or later, got {torch.__version__}; layers and '
            f'networks export with torch.onnx.export(..., dynamo=False)'
        )
    model = copy.deepcopy(model).eval().cpu()
    graph = (RawDetector if raw else Detector)(model.half() if half else model).eval()
    images = torch.randint(0, 256, (2 if dynamic else 1, 3, *size)).float()
    names = ['dets', 'labels']
    if raw:
        levels = range(len(graph.model.bbox_head.prior_generator.strides))
        names = [f'{output}_{level}' for output in ('scores', 'deltas') for level in levels]
    with torch.no_grad(), warnings.catch_warnings(), replacing(Path(path)) as part:
        warnings.simplefilter('ignore', FutureWarning)  # PyTorch's, of its own calls
        torch.onnx.export(
            graph,
            (images,),
            part,
            dynamo=True,
            opset_version=opset,
            input_names=['images'],
            output_names=names,
            dynamic_shapes={'images': {0: 'batch', 2: 'height', 3: 'width'}} if dynamic else None,
            custom_translation_table=onnx_translation(),
            external_data=False,
            verbose=False,
        )
