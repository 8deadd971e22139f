"""Every contender on one map: forward, forward and backward, peak memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from .contenders import CLONE, CONTENDERS
from .device import device_name
from .maps import Map
from .memory import peak_bytes
from .rows import FORWARD, TRAINING, Row, summarise
from .timing import interleave

LAYOUTS = {'NCHW': torch.contiguous_format, 'channels_last': torch.channels_last}
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@dataclass(frozen=True)
class Settings:
    """How to measure: images in a batch, seconds and turns of a measurement, the device."""

    device: torch.device
    images: int = 2
    min_time: float = 0.5
    rounds: int = 5


def measure(
    what: Map,
    dtype: str,
    layout: str,
    settings: Settings,
    contenders: Mapping[str, Callable[[Tensor], nn.Module]] = CONTENDERS,
) -> list[Row]:
    """Measure contenders side by side on one map.

    Forward is without a graph; forward+backward gives the gradients of the map and of all
    parameters. A contender that fails leaves rows that say why and hold no figure.

    Args:
        what: The map.
        dtype: A key of ``DTYPES``.
        layout: A key of ``LAYOUTS``.
        settings: See :class:`Settings`.
        contenders: As ``CONTENDERS``, the default.
    """
    torch.manual_seed(0)
    shape = (settings.images, what.channels, what.height, what.width)
    options = dict(dtype=DTYPES[dtype], device=settings.device)
    x, dz = (torch.randn(shape, **options).to(memory_format=LAYOUTS[layout]) for _ in range(2))
    x.requires_grad_()
    empty = Row(
        device_name(settings.device), torch.__version__, settings.images,
        what.name, what.calls, what.places, dtype, layout, FORWARD, CLONE, x.nbytes / 1e6,
    )  # fmt: skip
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    rows: dict[tuple[str, str], Row] = {}
    for name, build in contenders.items():
        modes = [FORWARD] if name == CLONE else [FORWARD, TRAINING]
        keys = [(name, mode) for mode in modes]
        rows.update((key, replace(empty, contender=name, mode=key[1])) for key in keys)
        try:
            module = build(x).to(settings.device).train()
            steps = {
                FORWARD: partial(_forward, module, x),
                TRAINING: partial(_train, module, x, dz),
            }
            for key in keys:
                step = steps[key[1]]
                for _ in range(2):  # what is compiled or cached on the way is not the op's time
                    step()
                peak = peak_bytes(step, settings.device) / 1e6
                rows[key] = replace(rows[key], peak_megabytes=peak)
                calls[key] = step
        except Exception as error:  # a missing compiler, too little memory: the others go on
            reason = (str(error).strip().splitlines() or ['no message'])[0]
            for key in keys:
                calls.pop(key, None)
                problem = f'{type(error).__name__}: {reason}'
                rows[key] = replace(rows[key], peak_megabytes=None, problem=problem)
    times = interleave(calls, settings.device, settings.min_time, settings.rounds)
    for key, seconds in times.items():
        rows[key] = replace(rows[key], **summarise(seconds))
    return list(rows.values())


@torch.no_grad()
def _forward(module: nn.Module, x: Tensor) -> None:
    module(x)


def _train(module: nn.Module, x: Tensor, dz: Tensor) -> None:
    torch.autograd.grad(module(x), (x, *module.parameters()), dz)
