"""What an experiment costs, before anything is trained: measured steps, GPU-hours, days, money."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.device import get_device

from mmdet_frn.utils.files import write_text_atomic
from mmdet_frn.utils.step_timer import BOXES_PER_IMAGE, measure_step

from .results import Row
from .runner import THREADS
from .runs import Run
from .table import to_text

# Of 1024x1024 fit 24 GB; one alone leaves BatchNorm nothing to average where a feature map is 1x1.
_IMAGES_ON_CPU = 2
_UNKNOWN = '?'


@dataclass
class StepTimes:
    """Seconds of one iteration of one GPU for each norm and number of images per GPU.

    ``images_measured`` is the batch that was timed; where it differs from the images per GPU, the
    time is taken as proportional. ``failures`` has the reason of what could not be timed.
    """

    device: str
    torch_version: str
    scale: float
    repeats: int
    images_measured: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def key(run: Run) -> str:
        """Under which a run's time is kept."""
        return f'{run.norm}, {run.images_per_gpu} images/GPU'

    def of(self, run: Run) -> float | None:
        """Seconds of an iteration of the run, None if not measured."""
        return self.seconds.get(self.key(run))

    @property
    def basis(self) -> str:
        """What an estimate rests on, in a sentence."""
        batches = ', '.join(map(str, sorted(set(self.images_measured.values()))))
        return (
            f'Step times: median of {self.repeats} training steps on {self.device} with torch '
            f'{self.torch_version} at scale {self.scale:g}, with batches of {batches} random '
            f'images (other batches in proportion) of {BOXES_PER_IMAGE} boxes each; without '
            f'loading images, communication between GPUs and evaluation.'
        )

    def save(self, path: Path) -> None:
        """Write to a JSON file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(path, json.dumps(asdict(self), indent=2) + '\n')

    @classmethod
    def load(cls, path: Path) -> StepTimes | None:
        """Read what :meth:`save` wrote, None if there is no such file or it is damaged."""
        try:
            return cls(**json.loads(path.read_text(encoding='utf-8')))
        except (OSError, ValueError, TypeError):
            return None


def measure_step_times(
    runs: Iterable[Run], scale: float, repeats: int, show: Callable[[str], None]
) -> StepTimes:
    """Time training steps of each norm at each number of images per GPU.

    On a CPU two images at a time are timed, whose memory fits, and other batches reckoned from
    them.

    Args:
        runs: The runs; one of each norm and number of images is timed.
        scale: Of the smoke run, for the record.
        repeats: Timed steps of each, after a first one that is not.
        show: Called with a line on each measurement.
    """
    on_gpu = get_device() != 'cpu'
    if not on_gpu:
        torch.set_num_threads(THREADS)
    device = torch.cuda.get_device_name() if on_gpu else f'CPU, {torch.get_num_threads()} threads'
    times = StepTimes(device, torch.__version__, scale, repeats)
    measured: dict[tuple[str, int], float] = {}
    for key, run in {StepTimes.key(run): run for run in runs}.items():
        images = run.images_per_gpu if on_gpu else _IMAGES_ON_CPU
        try:
            if (run.norm, images) not in measured:
                measured[run.norm, images] = measure_step(run.cfg, images, repeats)
        except torch.cuda.OutOfMemoryError as error:
            times.failures[key] = str(error).split('. ')[0]
            show(f'{key}: {times.failures[key]}')
            continue
        times.images_measured[key] = images
        times.seconds[key] = measured[run.norm, images] * run.images_per_gpu / images
        show(f'{key}: {times.seconds[key]:.3f} s')
    return times


@dataclass(frozen=True)
class Cost:
    """Of what is left of a run: GPU-hours, and days on the GPUs at hand; None if not measured."""

    gpu_hours: float | None
    days: float | None


def cost(row: Row, times: StepTimes | None) -> Cost:
    """Estimate what is left of a run from measured step times."""
    run = row.run
    seconds = times.of(run) if times else None
    if seconds is None:
        return Cost(None, None)
    left = 0 if row.metrics is not None else run.steps - row.step
    iterations = left * run.accumulate
    return Cost(seconds * iterations * run.num_gpus / 3600, seconds * iterations / 86400)


def plan_text(
    rows: Sequence[Row],
    times: StepTimes | None,
    *,
    train_images: int,
    price: float | None = None,
    jobs: int = 1,
) -> str:
    """Return the plan for a terminal: a line for each run, the totals, what they rest on.

    Args:
        rows: Of all runs, numbered from 1 as ``--run`` takes them.
        times: Measured step times. None if nothing was measured.
        train_images: Images of the training set.
        price: Of a GPU-hour, in any currency. Default None.
        jobs: Runs at once. Default 1.
    """
    heading = ['#', 'Norm', 'imgs/gpu', 'seed', 'base lr', 'lr', 'steps', 'images', 'epochs']
    table = [[*heading, 'GPU-hours left', 'days left']]
    costs = [cost(row, times) for row in rows]
    for i, (run, left) in enumerate(zip((row.run for row in rows), costs, strict=True), 1):
        images = run.steps * run.batch_size
        seed = str(run.seed) if run.fold is None else f'{run.seed}, fold {run.fold}'
        table.append(
            [
                *(str(i), run.norm, str(run.images_per_gpu), seed),
                '-' if run.base_lr is None else f'{run.base_lr:g}',
                *(f'{run.lr:.6g}', str(run.steps), str(images), f'{images / train_images:.1f}'),
                *(_number(left.gpu_hours), _number(left.days)),
            ]
        )
    first = rows[0].run
    at_once = 'one after the other' if jobs == 1 else f'{jobs} at once, each'
    by = f', each doing the work of {first.accumulate} by accumulation'
    lines = [to_text(table, headings=1), '']
    lines.append(
        f'{len(rows)} runs, {at_once} on {first.num_gpus} GPU(s) or process(es)'
        f'{by if first.accumulate > 1 else ""}.'
    )
    if times is None:
        lines.append(
            'Not measured: add --measure, on the machine that will train, for GPU-hours and days.'
        )
        return '\n'.join(lines)
    hours = [left.gpu_hours for left in costs if left.gpu_hours is not None]
    days = sum(left.days for left in costs if left.days is not None) / jobs
    clock = str(timedelta(seconds=round(86400 * days)))
    total = f'{sum(hours):.4g} GPU-hours, {days:.4g} days ({clock})'
    if price is not None:
        total += f', {sum(hours) * price:.2f} at {price:g} a GPU-hour'
    missing = len(costs) - len(hours)
    lines.append(f'Left: {total}{f"; {missing} runs not measured" if missing else ""}.')
    lines.append(times.basis)
    lines += [f'{key}: {reason}' for key, reason in times.failures.items()]
    return '\n'.join(lines)


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f'{value:.4g}'
