"""Configs of converted detectors, and detectors built from configs."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from .detector import INPUT_SIZE


def convert_cfg(
    cfg: Config,
    norm_cfg: dict | None = None,
    act_cfg: dict | None = None,
    kappa: float = 0.0,
    input_size: Sequence[int] = INPUT_SIZE,
) -> Config:
    """Return a copy of a detector's config that builds it converted; arguments as for ``convert``.

    Raises:
        ValueError: the config is of a converted detector already.
    """
    cfg = copy.deepcopy(cfg)
    if cfg.model.type == 'Converted':
        raise ValueError(f'{cfg.filename} is the config of a converted detector already')
    conversion = {'norm_cfg': norm_cfg or {'type': 'FRN'}, 'act_cfg': act_cfg, 'kappa': kappa}
    cfg.model.detector = cfg.model.type
    cfg.model.type = 'Converted'
    cfg.model.conversion = {**conversion, 'input_size': tuple(input_size)}
    imports = cfg.get('custom_imports') or {'imports': [], 'allow_failed_imports': False}
    names = imports['imports']
    names = [names] if isinstance(names, str) else list(names)
    if 'mmdet_frn' not in names:
        names.append('mmdet_frn')
    cfg.custom_imports = dict(imports, imports=names)
    return cfg


def build_detector(cfg: Config) -> nn.Module:
    """Build the detector of a config in MMDetection's scope, without loading any weights."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    return MODELS.build(cfg.model)
