"""MMDetection's detectors: the inputs that they need, and conversion by config."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.logging import print_log
from mmengine.structures import InstanceData
from torch import nn

from mmdet_frn.layers import TLU

from .convert import convert
from .report import Report

# P7 is larger than 1x1, as it is for the images that detectors are used on.
INPUT_SIZE = (320, 320)


def example_forward(model: nn.Module, size: Sequence[int] = INPUT_SIZE) -> Any:
    """Run a detector of MMDetection on one image of noise, all its heads included.

    Args:
        model: Detector.
        size: Height and width. Default (320, 320).

    Returns:
        Its raw outputs.
    """
    device = next(model.parameters()).device
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    shape = tuple(size)
    meta = {
        'img_id': 0,
        'img_shape': shape,
        'ori_shape': shape,
        'pad_shape': shape,
        'batch_input_shape': shape,
        'scale_factor': (1.0, 1.0),
    }
    sample = DetDataSample(metainfo=meta)
    # Some heads unpack it in this mode too.
    sample.gt_instances = InstanceData(
        bboxes=image.new_zeros(0, 4), labels=torch.zeros(0, dtype=torch.long, device=device)
    )
    return model(image, [sample], mode='tensor')


def convert_detector(
    model: nn.Module,
    norm_cfg: dict | None = None,
    act_cfg: dict | None = None,
    kappa: float = 0.0,
    input_size: Sequence[int] = INPUT_SIZE,
) -> Report:
    """Convert a built detector of MMDetection in place, as :func:`convert` does.

    The example input is noise, so the report has no ``variation`` and suggests no kappa.

    Args:
        model: Detector.
        norm_cfg: See :func:`convert`, like the next two.
        act_cfg: ``dict(type='TLU')`` or None.
        kappa: From 0 to ``math.inf``.
        input_size: Height and width of the example image: as large as what the detector is used
            on where that is far from 320, since norms of 1x1 maps are converted otherwise.
    """
    report = convert(model, lambda: example_forward(model, input_size), norm_cfg, act_cfg, kappa)
    report.variation, report.suggested_kappa = {}, None
    return report


def _tlus(part: nn.Module) -> dict[str, TLU]:
    return {name: module for name, module in part.named_modules() if isinstance(module, TLU)}


def _keep_thresholds(tlus: dict[str, TLU], state_dict: dict, prefix: str, *args: Any) -> None:
    """Give a BN checkpoint the thresholds that it lacks, so nothing of it is missing."""
    if any(key.endswith('running_var') for key in state_dict):
        for name, tlu in tlus.items():
            state_dict.setdefault(f'{prefix}{name}.tau', tlu.tau.detach())


@MODELS.register_module(name='Converted')
def build_converted(
    *, detector: str | None = None, conversion: dict | None = None, **model: Any
) -> nn.Module:
    """Build a detector and convert it: ``model=dict(type='Converted', detector='RetinaNet')``.

    Everything else of the model's config stays as it is. BN weights, from ``init_cfg`` or
    ``load_from``, are converted as they are loaded; those of a converted detector are loaded as
    they are.

    Args:
        detector: Type of the detector.
        conversion: Arguments of :func:`convert_detector`.
        model: All other fields of the detector's config.

    Raises:
        ValueError: detector is missing, or conversion has an unknown or wrong argument.
    """
    if not detector or detector == 'Converted':
        raise ValueError(
            "model.detector must be the detector's type, that of the config in _base_, as in "
            f"model=dict(type='Converted', detector='RetinaNet'), got {detector!r}"
        )
    known = ('norm_cfg', 'act_cfg', 'kappa', 'input_size')
    conversion = dict(conversion or {})
    unknown = sorted(conversion.keys() - set(known))
    if unknown:
        raise ValueError(f'conversion.{unknown[0]} is unknown; use {", ".join(known)}')
    built = MODELS.build(dict(type=detector, **model))
    report = convert_detector(built, **conversion)
    # Detectors freeze their first stages in train(), which reaches new TLUs too.
    built.train()
    built.conversion = report
    for part in (built, *built.children()):
        part._register_load_state_dict_pre_hook(functools.partial(_keep_thresholds, _tlus(part)))
    print_log(f'{detector} converted:\n{report}', logger='current')
    return built
