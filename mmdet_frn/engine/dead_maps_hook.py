"""Watches activations that shut whole feature maps."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmdet_frn.norms import is_in_table


@HOOKS.register_module()
class DeadMapsHook(Hook):
    """Logs the share of dead feature maps, activations' mean over deviation, and gradient norms.

    ``custom_hooks = [dict(type='DeadMapsHook', interval=50)]`` in a config switches it on. A
    feature map, one channel of one image, is dead where it lies wholly at or below its threshold:
    0 for ReLU, tau for TLU. Such a map passes no gradient back.

    In the log and in every visualizer backend: ``dead_backbone``, ``dead_neck`` and
    ``dead_bbox_head``, the shares of all feature maps of a part. In the visualizer's backends
    (scalars.json, TensorBoard) also, for each ReLU and TLU, a fused TLU under the name of its norm,
    ``dead/LAYER`` and ``mean_over_std/LAYER``, and for each parameter of a norm or activation
    ``grad_norm/PARAMETER``, before clipping; with accumulation, summed so far.

    Args:
        interval: Iterations between two measurements; the first is at the first. Default 50.

    Raises:
        ValueError: interval is below 1.
    """

    def __init__(self, interval: int = 50) -> None:
        if interval < 1:
            raise ValueError(f'interval must be >= 1, got {interval}')
        self.interval = interval
        self._handles: list[RemovableHandle] = []

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Start watching if this iteration is to be measured."""
        if runner.iter % self.interval:
            return
        self._dead: dict[str, list[Tensor]] = defaultdict(list)
        self._ratio: dict[str, list[Tensor]] = defaultdict(list)
        self._grads: dict[str, Tensor] = {}
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for name, module in model.named_modules():
            hook = self._watcher(name, module)
            if hook is not None:
                self._handles.append(module.register_forward_hook(hook, with_kwargs=True))
            if is_in_table(module):
                for param_name, param in module.named_parameters(name):
                    if param.requires_grad:
                        self._handles.append(
                            param.register_post_accumulate_grad_hook(self._grad(param_name))
                        )
        self._scale = 1.0
        if hasattr(runner.optim_wrapper, 'loss_scaler'):
            self._scale = runner.optim_wrapper.loss_scaler.get_scale()

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Log what was measured, if anything was, and stop watching."""
        if not self._handles:
            return
        for handle in self._handles:
            handle.remove()
        self._handles = []
        parts: dict[str, list[Tensor]] = defaultdict(list)
        for name, dead in self._dead.items():
            parts[name.split('.')[0]] += dead
        for part, dead in parts.items():
            runner.message_hub.update_scalar(f'train/dead_{part}', _mean(dead))
        scalars = {f'dead/{name}': _mean(dead) for name, dead in self._dead.items()}
        scalars |= {f'mean_over_std/{name}': _mean(r) for name, r in self._ratio.items()}
        scalars |= {f'grad_norm/{k}': g.item() / self._scale for k, g in self._grads.items()}
        runner.visualizer.add_scalars(scalars, step=runner.iter + 1)

    def _watcher(self, name: str, module: nn.Module) -> Any:
        """Forward hook for an activation with a threshold, or a norm that may fuse one."""

        def measure(out: Tensor, threshold: Tensor | float) -> None:
            out = out.detach().float()
            self._dead[name].append((out.flatten(2).amax(2) <= threshold).float().flatten())
            self._ratio[name].append((out.mean() / out.std()).reshape(1))

        def hook(module: nn.Module, args: tuple, kwargs: dict, out: Tensor) -> None:
            if isinstance(module, nn.ReLU):
                measure(out, 0.0)
                return
            tau = kwargs.get('tau', getattr(module, 'tau', None))
            if tau is not None:
                measure(out, tau.detach().to(out.dtype).float())

        watched = isinstance(module, nn.ReLU) or hasattr(module, 'tau') or hasattr(module, 'fuses')
        return hook if watched else None

    def _grad(self, name: str) -> Any:
        def hook(param: Tensor) -> None:
            if param.grad is not None:
                self._grads[name] = param.grad.norm()

        return hook


def _mean(values: list[Tensor]) -> float:
    return torch.cat(values).mean().item()
