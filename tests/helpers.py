"""What tests of several folders share: refusals in one line, random parameters, weight decay."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdet_frn.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
SHAPES_CONFIG = ROOT / 'configs/shapes/retinanet_r18-w32_fpn_frn-all_1xb2-1k_shapes-128.py'


def refused(call, *args, error: type[Exception] = UsageError, **kwargs) -> str:
    """Return the message of the ``error`` that the call raises, which must be one line."""
    with pytest.raises(error) as raised:
        call(*args, **kwargs)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    return message


def randomised(module: nn.Module, mean: float = 0.5, std: float = 0.3) -> nn.Module:
    """Draw every parameter, always the same ones."""
    torch.manual_seed(0)
    for p in module.parameters():
        nn.init.normal_(p, mean=mean, std=std)
    return module


class Payload:
    """Makes the folder ``path`` when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def weight_decays(model, constructor='NormDecayOptimWrapperConstructor', **paramwise_cfg) -> dict:
    """Weight decay of each parameter by name, where that of the optimiser is 0.1."""
    cfg = {
        'type': 'OptimWrapper',
        'constructor': constructor,
        'optimizer': {'type': 'SGD', 'lr': 0.1, 'weight_decay': 0.1},
        'paramwise_cfg': paramwise_cfg,
    }
    groups = build_optim_wrapper(model, cfg).param_groups
    by_id = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    return {name: by_id[id(p)] for name, p in model.named_parameters()}
