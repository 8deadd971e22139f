"""What follows where a fused op raised."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .checks import check_types


def recover(
    error: RuntimeError,
    on_reference: Callable[[], Tensor],
    tensors: Mapping[str, Tensor | None],
    eps: float | Tensor = 0.0,
) -> Tensor:
    """Return ``on_reference()`` under torch.func, which does not differentiate a function of C++.

    Args:
        error: What the op raised.
        on_reference: The same on the reference, arguments checked.
        tensors: Named arguments of which PyTorch says no more than a RuntimeError where they are
            something else; None for one that is not given.
        eps: Likewise, for a number or tensor.

    Raises:
        TypeError: one of ``tensors`` or ``eps`` is something else.
        RuntimeError: ``error``, if all are what they should be.
    """
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return on_reference()
    check_types({name: t for name, t in tensors.items() if t is not None}, eps)
    raise error
