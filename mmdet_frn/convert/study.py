"""What a conversion costs: AP before and after short fine-tunings, beside other ways."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn

from mmdet_frn.engine.checkpoint import read_checkpoint, safe_checkpoints
from mmdet_frn.layers import FRN

from .config import build_detector, convert_cfg


@dataclass(frozen=True)
class Way:
    """A way to convert: norm (None for BN itself), kappa, the weights kept, and the prior's fate.

    ``anneal`` takes the prior to 0; ``learn`` learns it per channel at so many times the learning
    rate, without weight decay.
    """

    norm: str | None
    kappa: float = 0.0
    weights: str = 'closed form'
    anneal: bool = False
    learn: float = 0.0


WAYS = {
    'BN itself': Way(None),
    'FRN, fresh': Way('FRN', weights='fresh'),
    'FRN, gamma and beta copied': Way('FRN', weights='copied'),
    'FRN': Way('FRN'),
    'FRN, kappa 10 annealed to 0': Way('FRN', 10, anneal=True),
    'FRN, kappa 10 kept': Way('FRN', 10),
    'FRN, kappa learned from 10': Way('FRN', 10, learn=1),
    'FRN, kappa learned from 10 at 100 times the rate': Way('FRN', 10, learn=100),
    'GN, gamma and beta copied': Way('GN'),
}
KAPPAS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, math.inf)


@safe_checkpoints()
def prepare(cfg: Config, checkpoint: str, way: Way, folder: Path) -> Config:
    """Return ``cfg`` converted that way, with ``load_from`` the weights to start from."""
    if way.norm is None:
        cfg = copy.deepcopy(cfg)
        cfg.load_from = checkpoint
        return cfg
    norm_cfg = {'type': way.norm, **({'num_groups': 32} if way.norm == 'GN' else {})}
    if way.learn:
        norm_cfg['learnable_prior'] = True
    act_cfg = {'type': 'TLU'} if way.norm == 'FRN' else None
    converted = convert_cfg(cfg, norm_cfg, act_cfg, way.kappa)
    model = build_detector(converted)
    load_checkpoint(model, checkpoint, map_location='cpu', logger='silent')
    if way.weights != 'closed form':
        bn = read_checkpoint(checkpoint)['state_dict']
        _reset(model, bn if way.weights == 'copied' else None)
    folder.mkdir(parents=True, exist_ok=True)
    converted.load_from = str(folder / 'start.pth')
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, converted.load_from)
    return converted


@torch.no_grad()
def _reset(model: nn.Module, bn: dict | None) -> None:
    """Give each FRN gamma and beta of the BN that it was, or its initial weights."""
    for name, layer in model.named_modules():
        if isinstance(layer, FRN):
            layer.reset_parameters()
            if bn is not None:
                layer.weight.copy_(bn[f'{name}.weight'])
                layer.bias.copy_(bn[f'{name}.bias'])


@safe_checkpoints()
def evaluate(cfg: Config, work_dir: Path) -> float:
    """Return AP in percent of the weights in ``cfg.load_from``."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = str(work_dir)
    metrics = Runner.from_cfg(cfg).test()
    return 100 * metrics['coco/bbox_mAP']


def fine_tuning(
    cfg: Config, way: Way, images: int, seed: int, steps: int, lr: float, work_dir: Path
) -> Config:
    """Return the config of a training of ``steps`` from ``cfg.load_from``."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = str(work_dir)
    cfg.randomness = dict(seed=seed)
    cfg.train_dataloader.batch_size = images
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=2 * steps)
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=steps // 10),
        dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=steps // 10, end=steps),
    ]
    cfg.optim_wrapper.optimizer.lr = lr * images / 2
    cfg.default_hooks.checkpoint.interval = 10 * steps
    cfg.default_hooks.checkpoint.save_last = False
    if way.anneal:
        cfg.custom_hooks = [
            dict(type='PriorAnnealingHook', start=way.kappa, unit='kappa', curve='cosine')
        ]
    if way.learn:
        rate = dict(lr_mult=way.learn, decay_mult=0.0)
        key = 'optim_wrapper.paramwise_cfg.custom_keys'
        cfg.merge_from_dict({key: {'prior.logit': rate}})
    return cfg


@safe_checkpoints()
def fine_tune(
    cfg: Config, way: Way, images: int, seed: int, steps: int, lr: float, work_dir: Path
) -> float:
    """Return AP in percent after a training of ``steps`` from ``cfg.load_from``."""
    runner = Runner.from_cfg(fine_tuning(cfg, way, images, seed, steps, lr, work_dir))
    runner.train()
    return 100 * runner.test()['coco/bbox_mAP']
