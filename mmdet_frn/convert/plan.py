"""Which module of a model becomes what: decided as a whole before anything is changed."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import torch
from mmcv.cnn import build_norm_layer
from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from mmdet_frn.layers import (
    FRN,
    ChannelAffine,
    build_activation,
    frn_from_batch_norm,
    prior_of,
)
from mmdet_frn.norms import find_norm
from mmdet_frn.registry import NORM_LAYERS

from .batch_norms import BatchNorm, is_batch_norm, read_batch_norm
from .modules import NormAct, TLUByWidth
from .report import ChannelTrouble, Left, Replaced, Report
from .trace import Trace


@dataclass
class Plan:
    """New modules by the ones that they replace, and the report so far."""

    new: dict[nn.Module, nn.Module] = field(default_factory=dict)
    report: Report = field(default_factory=Report)


def find_batch_norms(model: nn.Module, report: Report) -> dict[str, BatchNorm]:
    """Return the BNs that can be converted by name; note the others in the report."""
    found = {}
    for name, module in model.named_modules():
        if is_batch_norm(module):
            norm = read_batch_norm(module)
            if isinstance(norm, str):
                report.left.append(Left(name, type(module).__name__, norm))
            else:
                found[name] = norm
        elif isinstance(module, (nn.GroupNorm, _InstanceNorm)):
            what = type(module).__name__
            report.left.append(Left(name, what, 'no BN; it is independent of the batch already'))
    return found


def plan_norms(
    plan: Plan, norms: dict[str, BatchNorm], trace: Trace, norm_cfg: dict, kappa: float
) -> None:
    """Add a new norm for each BN.

    Raises:
        ValueError: norm_cfg does not fit a BN's channels, or kappa is for a norm without a prior.
    """
    if 'type' not in norm_cfg:
        raise ValueError(f'norm_cfg must have a type, got {norm_cfg}')
    row = find_norm(norm_cfg)
    if row is not None and row.uses_batch:
        raise ValueError(f'norm_cfg must be of a norm without batch statistics, got {norm_cfg}')
    for name, norm in norms.items():
        if name in trace.other_norms:
            kind = type(norm.module).__name__
            reason = 'has running statistics, but does not compute what a BN does with them'
            plan.report.left.append(Left(name, kind, reason))
            continue
        shapes = trace.shapes.get(name, [])
        single = [math.prod(s[2:]) == 1 for s in shapes]
        pooled = bool(single) and all(single)
        remark = '' if shapes else 'not reached by the example inputs'
        if any(single):
            remark = 'some maps of 1x1, of which FRN without a prior leaves only the sign'
        if pooled or (not shapes and isinstance(norm.module, nn.BatchNorm1d)):
            affine = ChannelAffine(norm.channels, norm.eps)
            affine.load_batch_norm(norm.gamma, norm.beta, norm.mean, norm.var, norm.eps)
            remark = 'maps of 1x1, where FRN would leave only the sign' if pooled else remark
            layer: nn.Module = affine
        else:
            layer, clamped = _norm(name, norm, norm_cfg, kappa)
            _note_channels(plan.report, name, norm, clamped)
        layer.to(device=norm.mean.device, dtype=norm.gamma.dtype)
        if 'requires_grad' not in norm_cfg:
            layer.requires_grad_(norm.trains[0])
            if getattr(layer, 'bias', None) is not None:
                layer.bias.requires_grad_(norm.trains[1])
        if not any(p.requires_grad for p in layer.parameters()):
            plan.report.frozen.append(name)
        new: nn.Module = layer
        if norm.act is not None:
            new = NormAct(layer, norm.drop, norm.act)
            layer.training = norm.module.training
        plan.new[norm.module] = new
        plan.report.replaced.append(
            Replaced(name, type(norm.module).__name__, type(layer).__name__, remark)
        )


def _norm(
    name: str, norm: BatchNorm, norm_cfg: dict, kappa: float
) -> tuple[nn.Module, torch.Tensor | None]:
    """Build a norm with a BN's weights; also which channels were clamped, None if not asked."""
    cls = (
        NORM_LAYERS.get(norm_cfg['type']) if isinstance(norm_cfg['type'], str) else norm_cfg['type']
    )
    cfg = dict(norm_cfg)
    if cls is FRN:
        cfg.setdefault('eps', norm.eps)
        if kappa:
            cfg['prior'] = prior_of(kappa)
    try:
        layer = build_norm_layer(cfg, norm.channels)[1]
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'norm_cfg {norm_cfg} does not fit {name}: {error}') from error
    if isinstance(layer, FRN):
        layer.batch_norm_eps = norm.eps
        exact = layer.prior is not None and layer.prior.initial == 1
        given = frn_from_batch_norm(
            norm.gamma, norm.beta, norm.mean, norm.var, norm.eps, *([math.inf] if exact else [])
        )
        layer.weight.data.copy_(given.weight)
        layer.bias.data.copy_(given.bias)
        if layer.prior is not None:
            layer.prior.nu2.copy_(given.nu2)
        return layer, given.clamped
    if kappa:
        raise ValueError(
            f'kappa must be 0 for norm_cfg {norm_cfg}, got {kappa:g}: only FRN has a prior'
        )
    for parameter, value in ((layer.weight, norm.gamma), (layer.bias, norm.beta)):
        if parameter is not None:
            parameter.data.copy_(value)
    return layer, None


def _note_channels(
    report: Report, name: str, norm: BatchNorm, clamped: torch.Tensor | None
) -> None:
    dead = (norm.var < norm.eps) & (norm.mean.square() < norm.eps)
    kinds = {'dead (mean and variance below eps)': dead}
    if clamped is not None:
        kinds['near-constant, weight clamped'] = clamped
    for trouble, which in kinds.items():
        if which.any():
            channels = which.nonzero().flatten().tolist()
            report.channels.append(ChannelTrouble(name, channels, trouble))


def plan_activations(plan: Plan, model: nn.Module, trace: Trace, act_cfg: dict) -> None:
    """Add TLUs for the ReLU modules that follow a norm wherever they are called."""
    modules = dict(model.named_modules())
    contained = {new.act for new in plan.new.values() if isinstance(new, NormAct)}
    for new in plan.new.values():
        if isinstance(new, NormAct) and type(new.act) is nn.ReLU:
            weight = new.norm.get_parameter('weight')
            new.act = _tlu(act_cfg, {weight.numel()}, weight)
            plan.report.replaced.append(Replaced('', 'ReLU', 'TLU', 'inside the norm layer'))
    places = defaultdict(list)
    for place in trace.activations:
        module = modules.get(place.module)
        if module in contained:
            continue
        if type(module) is nn.ReLU:
            places[place.module].append(place)
        elif place.norms:
            if place.op == 'relu' and not isinstance(module, nn.ReLU):
                what, reason = 'functional ReLU', 'a call in a forward method, not a module'
            else:
                what, reason = type(module).__name__, 'not a ReLU'
            plan.report.left.append(Left(place.module, what, reason))
    for name, calls in places.items():
        widths = {place.channels for place in calls}
        bare = [place for place in calls if not place.norms]
        if bare:
            also = 'no converted norm before it'
            if len(bare) < len(calls):
                also = 'some of its places have no converted norm before them'
            plan.report.left.append(Left(name, 'ReLU', also))
            continue
        parameter = next(next(iter(plan.new.values())).parameters())
        act = _tlu(act_cfg, widths, parameter)
        beside = list(modules[name.rpartition('.')[0]].parameters())
        act.requires_grad_(not beside or any(p.requires_grad for p in beside))
        plan.new[modules[name]] = act
        remark = '' if len(widths) == 1 else 'one tau for each of its widths'
        plan.report.replaced.append(Replaced(name, 'ReLU', 'TLU', remark))
    for name, module in modules.items():
        if type(module) is nn.ReLU and name not in places and module not in contained:
            plan.report.left.append(Left(name, 'ReLU', 'not reached by the example inputs'))


def _tlu(act_cfg: dict, widths: set[int], like: torch.Tensor) -> nn.Module:
    try:
        tlus = {width: build_activation(act_cfg, width) for width in sorted(widths)}
    except (TypeError, ValueError) as error:
        raise ValueError(f'act_cfg {act_cfg} does not build: {error}') from error
    act = TLUByWidth(tlus) if len(tlus) > 1 else tlus[min(tlus)]
    return act.to(device=like.device, dtype=like.dtype)
