"""BN models become FRN models, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmdet_frn.layers import TLU, prior_of

from .agreement import agreement, choose_kappa
from .batch_norms import BatchNorm
from .plan import Plan, find_batch_norms, plan_activations, plan_norms
from .report import KAPPAS, Agreement, Left, Report
from .trace import Trace, trace_forward

# Mean error of a layer's scale that a suggested kappa leaves.
_TOLERANCE = 0.05
# Hooks of a module on its forward and backward pass.
_HOOKS = (
    '_forward_pre_hooks',
    '_forward_pre_hooks_with_kwargs',
    '_forward_hooks',
    '_forward_hooks_with_kwargs',
    '_forward_hooks_always_called',
    '_backward_pre_hooks',
    '_backward_hooks',
    '_is_full_backward_hook',
)


def convert(
    model: nn.Module,
    inputs: Tensor | tuple | Callable[[], Any],
    norm_cfg: dict | None = None,
    act_cfg: dict | None = None,
    kappa: float | str = 0.0,
) -> Report:
    """Replace the BNs of a built model by FRN that computes the same, in place.

    ``model(*inputs)`` is run once, in evaluation mode and without gradients, to see what follows
    what. BN, SyncBN, frozen BN and timm's norm layers with an activation are converted in closed
    form; their names stay. Where all maps are 1x1 a per-channel affine takes their place.

    Args:
        model: Any module. Shared modules stay shared; training mode, device and dtype are kept.
        inputs: One input, a tuple of all arguments, or a function that calls the model. Images of
            the data make the report's ``variation`` and ``suggested_kappa`` meaningful.
        norm_cfg: The new norm. Default ``dict(type='FRN')``, with BN's eps unless it names one.
            A norm other than FRN gets BN's weight and bias, which is not the same function.
        act_cfg: ``dict(type='TLU')`` replaces each ReLU module that follows a norm, directly or
            after a sum, by TLU, which starts as ReLU. Default None: activations stay.
        kappa: Weight of the prior, from 0 (FRN) to ``math.inf`` (BN in evaluation mode). Default 0.
            'auto' takes the smallest of :data:`KAPPAS` with which the outputs of a copy of the
            model on ``inputs`` differ from BN's by at most 10%.

    Returns:
        What was replaced, what was left and why.

    Raises:
        ValueError: an argument is wrong or the model does not run on the inputs; nothing was
            changed then.
    """
    norm_cfg = norm_cfg or {'type': 'FRN'}
    _refuse_wrapped(model)
    agreements = []
    if isinstance(kappa, str):
        if kappa != 'auto':
            raise ValueError(f"kappa must be a number or 'auto', got {kappa!r}")
        agreements = _measure(model, inputs, norm_cfg)
        kappa = choose_kappa(agreements)
    prior_of(kappa)
    if act_cfg is not None and act_cfg.get('type') not in ('TLU', TLU):
        raise ValueError(f"act_cfg must be None or dict(type='TLU'), got {act_cfg}")
    plan = Plan()
    plan.report.kappa, plan.report.agreements = kappa, agreements
    norms = find_batch_norms(model, plan.report)
    if '' in norms:
        raise ValueError('model is a norm itself, which nothing refers to; put it into a module')
    trace = _trace(model, {norm.module: norm for norm in norms.values()}, inputs)
    plan_norms(plan, norms, trace, norm_cfg, kappa)
    if act_cfg is not None and plan.new:
        plan_activations(plan, model, trace, act_cfg)
    for name in sorted(trace.functional_norms):
        plan.report.left.append(Left(name, 'functional batch_norm', 'not a module'))
    plan.report.variation, plan.report.suggested_kappa = _judge(trace)
    _apply(model, plan)
    return plan.report


def _refuse_wrapped(model: nn.Module) -> None:
    """Refuse what holds on to the modules or parameters that a conversion replaces."""
    for module in model.modules():
        if isinstance(module, DistributedDataParallel):
            raise ValueError(
                'model is in DistributedDataParallel, which keeps the parameters that it was '
                'given; convert it before it is wrapped'
            )
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError('model is of torch.jit.script; convert it before it is scripted')


def _measure(
    model: nn.Module, inputs: Tensor | tuple | Callable[[], Any], norm_cfg: dict
) -> list[Agreement]:
    """Compare the outputs on ``inputs`` with BN's over kappa."""
    if not isinstance(inputs, (Tensor, tuple)):
        raise ValueError(
            "kappa='auto' runs copies of the model, so inputs must be a tensor or tuple"
        )
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    return agreement(
        model,
        lambda copied: convert(copied, inputs, norm_cfg, kappa=1.0),
        [lambda module: module(*arguments)],
    )


def _trace(
    model: nn.Module, norms: dict[nn.Module, BatchNorm], inputs: Tensor | tuple | Callable[[], Any]
) -> Trace:
    def call() -> None:
        if callable(inputs):
            inputs()
        else:
            model(*(inputs if isinstance(inputs, tuple) else (inputs,)))

    try:
        return trace_forward(model, norms, call)
    except Exception as error:
        raise ValueError(
            f'the model does not run on the example inputs: {type(error).__name__}: {error}'
        ) from error


def examine(
    model: nn.Module, inputs: Tensor | tuple | Callable[[], Any]
) -> tuple[dict[str, float], float | None]:
    """Tell how much prior a BN model needs on example images, without changing it.

    Args:
        model: A model with BN.
        inputs: As for :func:`convert`.

    Returns:
        ``variation`` and ``suggested_kappa`` of a :class:`Report`.
    """
    norms = find_batch_norms(model, Report())
    return _judge(_trace(model, {norm.module: norm for norm in norms.values()}, inputs))


def _judge(trace: Trace) -> tuple[dict[str, float], float | None]:
    """Variation of nu2 by norm, and the kappa that follows from it."""
    deviations = {n: torch.cat([v.flatten() for v in vs]) for n, vs in trace.deviations.items()}
    if not deviations:
        return {}, None

    def error(kappa: float) -> float:
        """Root mean square of the logarithm of the scale, mean over norms."""
        scales = [((kappa + v.exp()) / (kappa + 1)).log() / 2 for v in deviations.values()]
        return sum(s.square().mean().sqrt().item() for s in scales) / len(scales)

    suggested = next((k for k in KAPPAS if error(k) <= _TOLERANCE), KAPPAS[-1])
    return {n: v.square().mean().sqrt().item() for n, v in deviations.items()}, suggested


def _apply(model: nn.Module, plan: Plan) -> None:
    """Put the new modules wherever the old ones are registered, with the hooks of these."""
    for old, new in plan.new.items():
        new.training = old.training
        for kind in _HOOKS:
            # The same dictionary, which the handles that remove a hook refer to.
            setattr(new, kind, getattr(old, kind))
    parent: Any
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child in plan.new:
                parent._modules[name] = plan.new[child]
        # MMCV's ConvModule may fold a BN into its convolution in evaluation mode.
        if getattr(parent, 'efficient_conv_bn_eval_forward', None) is not None:
            parent.efficient_conv_bn_eval_forward = None
