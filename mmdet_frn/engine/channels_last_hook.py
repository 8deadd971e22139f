"""A whole training in PyTorch's channels_last memory format."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Convert the model and each batch of images to channels_last; validation included.

    Convolutions, norms and activations keep the format of their input. Weights in checkpoints keep
    their shape, so a run may be resumed with or without the hook.
    """

    def before_train(self, runner: Runner) -> None:
        """Convert the model, and have its data preprocessor convert what it returns."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.to(memory_format=torch.channels_last)
        model.data_preprocessor.register_forward_hook(_convert)


def _convert(module: nn.Module, args: tuple, data: dict) -> dict:
    return {**data, 'inputs': data['inputs'].contiguous(memory_format=torch.channels_last)}
