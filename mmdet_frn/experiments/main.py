"""An experiment from its arguments to its report: what ``tools/compare.py`` and others call."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from mmdet_frn.datasets.coco_file import read_coco
from mmdet_frn.utils.errors import UsageError

from .cost import StepTimes, measure_step_times, plan_text
from .plan import Setup, find_runs, plan_runs
from .report import Output, Report
from .results import read_rows
from .runner import default_jobs, train_runs
from .runs import Run, ann_file
from .smoke import write_subsets

_STEP_TIMES = 'step_times.json'


def plan_comparison(
    configs: Sequence[str | Path], images_per_gpu: Sequence[int], work_dir: Path, setup: Setup
) -> list[Run]:
    """Return the runs of every config at every number of images per GPU, column by column."""
    choices = [(path, images) for images, path in product(dict.fromkeys(images_per_gpu), configs)]
    return plan_runs(choices, work_dir, setup)


def train_and_report(
    runs: Sequence[Run], work_dir: Path, setup: Setup, output: Output, jobs: int | None = None
) -> int:
    """Train the runs that are not finished, then print the tables and write the report.

    Args:
        runs: All runs of the report.
        work_dir: Folder of the experiment; the report goes into ``report`` there.
        setup: What the runs share.
        output: What the report says.
        jobs: Runs at once. Default: see :func:`~mmdet_frn.experiments.runner.default_jobs`.

    Returns:
        Exit status: 0, or 1 if a run failed.

    Raises:
        UsageError, DatasetError: a run is in use or its folder of other settings, or a dataset is
            unusable; nothing was trained.
    """
    failed = train(runs, jobs)
    show_report(runs, work_dir, setup, output)
    return 1 if failed else 0


def train(runs: Sequence[Run], jobs: int | None = None) -> int:
    """Train the runs that are not finished; return how many failed."""
    for run in {(run.config, run.fold): run for run in runs}.values():
        write_subsets(run.cfg)
    return train_runs(runs, jobs)


def show_report(
    runs: Sequence[Run],
    work_dir: Path,
    setup: Setup,
    output: Output,
    unreadable: Sequence[str] = (),
) -> None:
    """Print the tables, then write the report."""
    report = Report(read_rows(runs), output, setup.scale, unreadable)
    print(f'\n{report.text()}', flush=True)
    print('\nWrote')
    for file in report.write(work_dir / 'report'):
        print(f'  {file}')


def report_existing(work_dir: Path, setup: Setup, output: Output) -> None:
    """Report on the runs that are in a work directory, whatever made them; nothing is trained."""
    runs, unreadable = find_runs(work_dir, setup.data)
    if setup.seeds:
        runs = [run for run in runs if run.seed in setup.seeds]
    if not runs:
        raise UsageError(f'{work_dir} holds no runs of seeds {list(setup.seeds)}')
    show_report(runs, work_dir, setup, output, unreadable)


def show_plan(
    runs: Sequence[Run],
    work_dir: Path,
    setup: Setup,
    *,
    repeats: int = 0,
    price: float | None = None,
    jobs: int | None = None,
    train_images: int | None = None,
) -> None:
    """Print what there is to do and what it costs.

    Args:
        runs: The runs.
        work_dir: Keeps the step times for the next plan.
        setup: What they share.
        repeats: Training steps of each norm and number of images to time now; 0 takes the times
            that were measured before, if any. Default 0.
        price: Of a GPU-hour. Default None.
        jobs: Runs at once. Default: see :func:`~mmdet_frn.experiments.runner.default_jobs`.
        train_images: Images of the training set. Default: read from the first run's.
    """
    path, scale = work_dir / _STEP_TIMES, setup.scale
    times: StepTimes | None
    if repeats:
        times = measure_step_times(runs, scale.factor, repeats, print)
        times.save(path)
        print()
    else:
        times = StepTimes.load(path)
        if times is not None and times.scale != scale.factor:
            times = None
    if scale.note:
        print(f'{scale.note}\n')
    if train_images is None:
        train_images = len(read_coco(ann_file(runs[0].cfg, 'train'))['images'])
    at_once = jobs or default_jobs(runs)
    text = plan_text(read_rows(runs), times, train_images=train_images, price=price, jobs=at_once)
    print(text)
