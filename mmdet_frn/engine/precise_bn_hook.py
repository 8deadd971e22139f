"""Precise BN: the statistics of the finished weights, in place of a moving average."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from mmengine.dist import all_reduce_params
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from mmdet_frn.utils.errors import UsageError


@HOOKS.register_module()
class PreciseBNHook(Hook):
    """Computes BN's running statistics anew at the end of training.

    ``custom_hooks = [dict(type='PreciseBNHook')]`` in a config switches it on. After the last
    iteration, before the last validation and checkpoint, ``num_iters`` training batches pass
    through the model in training mode, and each BN gets the plain mean of their statistics, over
    all processes. BN layers in evaluation mode (``norm_eval``, frozen stages) keep theirs. It
    covers BN, SyncBN, GhostBN and EvalNorm. Source: Wu and Johnson 2021, "Rethinking 'batch' in
    BatchNorm", section 3; ``torch.optim.swa_utils.update_bn``.

    Args:
        num_iters: Batches of each process. Default 200, the source's implementation in fvcore.

    Raises:
        ValueError: num_iters is below 1.
    """

    def __init__(self, num_iters: int = 200) -> None:
        if num_iters < 1:
            raise ValueError(f'num_iters must be >= 1, got {num_iters}')
        self.num_iters = num_iters

    def before_train(self, runner: Runner) -> None:
        """Check that there is something to compute.

        Raises:
            UsageError: the model has no BN in training mode.
        """
        model = _unwrapped(runner.model)
        was_training = model.training
        model.train()
        found = _trained(model)
        model.train(was_training)
        if not found:
            raise UsageError(
                'PreciseBNHook finds no BN layer in training mode; leave it out, or set '
                'norm_eval=False and frozen_stages=-1'
            )

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Compute the statistics if this was the last iteration."""
        if runner.iter + 1 != runner.max_iters:
            return
        model = _unwrapped(runner.model)
        batches = islice(runner.train_dataloader, self.num_iters)
        with runner.optim_wrapper.optim_context(model):
            layers = update_statistics(model, batches)
        for layer in layers:
            all_reduce_params([layer.running_mean, layer.running_var], op='mean')
        print_log(f'PreciseBNHook: computed the statistics of {len(layers)} layers', 'current')


@torch.no_grad()
def update_statistics(model: BaseModel, batches: Iterator[dict]) -> list[_BatchNorm]:
    """Give each BN in training mode the mean of its statistics over ``batches``, and return them.

    Args:
        model: A detector; its mode stays.
        batches: As from its dataloader.
    """
    was_training = model.training
    model.train()
    trained = _trained(model)
    frozen = {m: copy.deepcopy(m.state_dict()) for m in _batch_norms(model) if m not in trained}
    update_bn(batches, _Pass(model))
    for layer, state in frozen.items():
        layer.load_state_dict(state)
    model.train(was_training)
    return trained


class _Pass(nn.Module):
    """A detector as a function of one batch."""

    def __init__(self, model: BaseModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict) -> None:
        """Run the model as in a training step."""
        self.model(**self.model.data_preprocessor(batch, training=True), mode='loss')


def _unwrapped(model: BaseModel) -> BaseModel:
    return model.module if is_model_wrapper(model) else model


def _batch_norms(model: nn.Module) -> list[_BatchNorm]:
    norms = (m for m in model.modules() if isinstance(m, _BatchNorm))
    return [m for m in norms if m.running_mean is not None]


def _trained(model: nn.Module) -> list[_BatchNorm]:
    return [m for m in _batch_norms(model) if m.training]
