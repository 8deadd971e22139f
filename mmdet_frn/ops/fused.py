"""Calling a fused op, whose gradient is a function of C++."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .checks import check_types


def call(
    op: Callable[..., Tensor],
    args: tuple[Any, ...],
    tensors: dict[str, Tensor | None],
    on_reference: Callable[[], Tensor],
    eps: float = 0.0,
) -> Tensor:
    """Return ``op(*args)``; under torch.func, which does not differentiate it, ``on_reference()``.

    ``tensors``, named, and ``eps`` are those of the arguments of which PyTorch says no more than a
    RuntimeError where they are something else.
    """
    try:
        return op(*args)
    except RuntimeError:
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return on_reference()
        check_types({name: t for name, t in tensors.items() if t is not None}, eps)
        raise
