"""A training step of a whole detector with each normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from mmengine.config import Config

from mmdet_frn.ops.library import has_kernels, reference_only
from mmdet_frn.utils.step_timer import random_step

from .memory import peak_bytes
from .rows import summarise
from .timing import interleave


@dataclass(frozen=True)
class Step:
    """Time and memory of a step; None where it did not run."""

    name: str
    median_us: float | None = None
    q1_us: float | None = None
    q3_us: float | None = None
    samples: int = 0
    peak_megabytes: float | None = None
    problem: str = ''


def measure_steps(
    configs: Mapping[str, Config],
    device: torch.device,
    size: int,
    images: int,
    rounds: int,
    dtype: torch.dtype = torch.float32,
) -> list[Step]:
    """Time forward, loss and backward of detectors in turns, on random images.

    Args:
        configs: The detectors by name. A name that ends in 'reference' runs on the reference ops,
            one that ends in 'fused' fails where there are no kernels.
        device: Where to run.
        size: Height and width of the images.
        images: Images in a batch.
        rounds: Steps of each detector, after one that is not timed.
        dtype: bf16 or fp16 for autocast to it.
    """
    steps, found = {}, {}
    for name, cfg in configs.items():
        try:
            if name.endswith('fused') and not has_kernels(device.type):
                raise RuntimeError(f'no fused kernels for {device.type} in this build')
            shape = (size, size)
            step = random_step(cfg, images, shape, device, update=False, dtype=dtype)
            if name.endswith('reference'):
                step = reference_only()(step)
            step()
            found[name] = Step(name, peak_megabytes=peak_bytes(step, device) / 1e6)
            steps[name] = step
        except Exception as error:  # too little memory for one of them: the others go on
            reason = (str(error).strip().splitlines() or ['no message'])[0]
            found[name] = Step(name, problem=f'{type(error).__name__}: {reason}')
    for name, seconds in interleave(steps, device, 0.0, rounds).items():
        found[name] = Step(name, **summarise(seconds), peak_megabytes=found[name].peak_megabytes)
    return list(found.values())


def to_markdown(steps: list[Step]) -> str:
    """A table of the steps with the ratio of their times to the first one's."""
    base = steps[0].median_us
    lines = ['| | ms a step | quartiles | / first | peak MB |', '|:--|--:|--:|--:|--:|']
    for step in steps:
        if step.median_us is None:
            lines.append(f'| {step.name} | - | - | - | - |')
            continue
        ratio = f'{step.median_us / base:.2f}' if base else '-'
        lines.append(
            f'| {step.name} | {step.median_us / 1e3:.0f} | {step.q1_us / 1e3:.0f} to '
            f'{step.q3_us / 1e3:.0f} | {ratio} | {step.peak_megabytes:.0f} |'
        )
    problems = [f'\n{step.name}: {step.problem}' for step in steps if step.problem]
    return '\n'.join([*lines, *problems])
