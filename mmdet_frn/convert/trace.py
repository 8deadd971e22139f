"""What a forward pass does with batch norms and activations, whatever the modules' order says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from .batch_norms import BatchNorm, is_batch_norm

# Activations by the name of their operator; in-place ones end in an underscore.
ACTIVATIONS = frozenset(
    {
        'relu', 'silu', 'hardswish', 'hardtanh', 'gelu', 'leaky_relu', 'mish', 'elu', 'sigmoid',
        'hardsigmoid', 'tanh',
    }
)  # fmt: skip
# Operators whose result has the channels and the meaning of their first argument.
_SAME = frozenset(
    ('clone', 'alias', 'detach', '_to_copy', 'upsample_nearest2d', 'upsample_bilinear2d')
)


@dataclass(frozen=True)
class ActPlace:
    """A call of an activation: its operator, innermost module, channels, and the norms before it.

    ``norms`` are the names of the norms whose output, or whose sum with others, is its input.
    """

    op: str
    module: str
    channels: int
    norms: frozenset[str]


@dataclass
class Trace:
    """A forward pass: by name of a norm, the shapes and log(nu2 / p) (N, C) of its inputs.

    ``other_norms`` are those whose output is not that of a BN in evaluation mode.
    """

    shapes: dict[str, list[torch.Size]] = field(default_factory=lambda: defaultdict(list))
    deviations: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    activations: list[ActPlace] = field(default_factory=list)
    functional_norms: set[str] = field(default_factory=set)
    other_norms: set[str] = field(default_factory=set)


class _Recorder(TorchDispatchMode):
    """Follows the outputs of norms through sums into activations, operator by operator."""

    def __init__(self, names: dict[nn.Module, str], norms: dict[nn.Module, BatchNorm]) -> None:
        super().__init__()
        self.trace = Trace()
        self.names = names
        self.norms = norms
        self.stack: list[nn.Module] = []
        self.origin = WeakTensorKeyDictionary()
        self.paused = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        sources = [self.origin.get(a, frozenset()) for a in args if isinstance(a, Tensor)]
        out = func(*args, **(kwargs or {}))
        if not self.paused:
            self._record(func.overloadpacket.__name__, args, sources, out)
        return out

    def _record(self, op: str, args: tuple, sources: list[frozenset], out: Any) -> None:
        plain = op.removesuffix('_')
        # Without running statistics it standardises weights.
        functional = 'batch_norm' in op and len(args) > 3 and args[3] is not None
        if functional and not any(is_batch_norm(m) for m in self.stack):
            self.trace.functional_norms.add(self._here())
        if not isinstance(out, Tensor):
            return
        if plain in ACTIVATIONS and out.dim() > 1:
            place = ActPlace(plain, self._here(), out.shape[1], sources[0])
            self.trace.activations.append(place)
        followed: frozenset[str] = frozenset()
        if plain == 'add':
            followed = frozenset().union(*sources)
        elif plain in _SAME and sources:
            followed = sources[0]
        # In place, the result is an argument that had an origin.
        self.origin[out] = followed

    def _here(self) -> str:
        return self.names[self.stack[-1]] if self.stack else ''

    def enter(self, module: nn.Module, args: tuple) -> None:
        """Note that a module's forward begins; a global hook, so it sees others' modules too."""
        if module not in self.names:
            return
        self.stack.append(module)
        if module in self.norms and args:
            x, name = args[0].detach(), self.names[module]
            self.trace.shapes[name].append(x.shape)
            self.paused = True
            nu2 = x.float().flatten(2).square().mean(2) if x.dim() > 2 else x.float().square()
            norm = self.norms[module]
            # p includes eps: a dead channel deviates by nothing.
            self.trace.deviations[name].append(((nu2 + norm.eps) / norm.nu2).log())
            self.paused = False

    def leave(self, module: nn.Module, args: tuple, out: Any) -> None:
        """Note that a module's forward ends."""
        if module not in self.names:
            return
        self.stack.pop()
        if module not in self.norms:
            return
        self.paused = True
        if args and not self.norms[module].explains(args[0].detach(), out):
            self.trace.other_norms.add(self.names[module])
        self.paused = False
        if isinstance(out, Tensor):
            self.origin[out] = frozenset({self.names[module]})


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode for the block, and each module back afterwards."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode


def trace_forward(
    model: nn.Module, norms: dict[nn.Module, BatchNorm], forward: Callable[[], Any]
) -> Trace:
    """Run ``forward`` in evaluation mode, without gradients, and record what it does.

    Args:
        model: Model that ``forward`` calls.
        norms: Its norms.
        forward: Calls the model on example inputs.
    """
    names = {module: name for name, module in model.named_modules()}
    recorder = _Recorder(names, norms)
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.no_grad())
        for handle in (
            register_module_forward_pre_hook(recorder.enter),
            register_module_forward_hook(recorder.leave),
        ):
            stack.callback(handle.remove)
        stack.enter_context(recorder)
        forward()
    return recorder.trace
