"""Plan, run and report of Table 6, for ``tools/table6.py``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mmdet_frn.compare.cells import Cell
from mmdet_frn.compare.runner import run_cells
from mmdet_frn.datasets import find_coco
from mmdet_frn.datasets.coco_file import read_coco
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.files import write_text_atomic

from .cells import Protocol, plan_table6
from .plan import plan_text
from .report import terminal_table6, write_table6
from .shrink import COCO_IMAGES, Scale
from .slurm import submit, write_array
from .step_time import StepTimes, measure_step_times
from .subset import write_subsets

_PROTOCOL = 'protocol.json'
_STEP_TIMES = 'step_times.json'


def show_plan(
    cells: Sequence[Cell],
    work_dir: Path,
    protocol: Protocol,
    *,
    repeats: int = 0,
    price: float | None = None,
) -> None:
    """Print what there is to do and what it costs.

    Args:
        cells: The cells.
        work_dir: Keeps the step times for the next plan.
        protocol: What they share.
        repeats: Training steps of each method and number of images to time now; 0 takes the times
            that were measured before, if any. Default 0.
        price: Of a GPU-hour. Default None.
    """
    path = work_dir / _STEP_TIMES
    scale = protocol.scale
    if repeats:
        times = measure_step_times(cells, scale.factor, repeats, print)
        times.save(path)
        print()
    else:
        times = StepTimes.load(path)
        if times is not None and times.scale != scale.factor:
            times = None
    if scale.note:
        print(f'{scale.note}\n')
    print(plan_text(cells, times, train_images=_train_images(protocol), price=price))


def _train_images(protocol: Protocol) -> int:
    """Images of the training set; COCO's own number unless other data are named."""
    images = COCO_IMAGES['train']
    if protocol.data is not None:
        images = len(read_coco(find_coco(protocol.data).train_ann)['images'])
    most = protocol.scale.images('train')
    return images if most is None else min(images, most)


def run(cells: Sequence[Cell], work_dir: Path, protocol: Protocol, config_dir: Path) -> int:
    """Train the cells that are not finished and write the report on all of the work directory.

    Returns:
        Exit status: 0, or 1 if a cell failed.
    """
    keep_protocol(work_dir, protocol, cells)
    for cell in {cell.config: cell for cell in cells}.values():
        write_subsets(cell.cfg)
    failed = run_cells(cells)
    report(work_dir, config_dir)
    return 1 if failed else 0


def submit_array(
    cells: Sequence[Cell],
    work_dir: Path,
    protocol: Protocol,
    command: Sequence[str],
    *,
    dry_run: bool,
    at_once: int | None = None,
    options: Sequence[str] = (),
) -> None:
    """Write a Slurm array for the unfinished cells and, unless ``dry_run``, submit it."""
    keep_protocol(work_dir, protocol, cells)
    script = write_array(cells, command, work_dir, at_once=at_once, options=options)
    print(f'Wrote {script}')
    print(f'dry run, not submitted: sbatch {script}' if dry_run else submit(script))


def report(work_dir: Path, config_dir: Path) -> None:
    """Print the table and write the report on every cell of a work directory.

    Needs neither the datasets nor a GPU.

    Raises:
        UsageError: nothing was run there.
    """
    kept = _read(work_dir)
    if kept is None:
        raise UsageError(
            f'{work_dir} holds no run of Table 6; give the --work-dir of the run command'
        )
    scale = Scale(kept['scale'])
    protocol = Protocol(kept['num_gpus'], scale, kept['seed'], options=kept['options'])
    cells = plan_table6(config_dir, work_dir, protocol, base_lrs=kept['base_lrs'])
    files = write_table6(cells, work_dir / 'report', scale, kept['evaluated_on'])
    print(f'\n{terminal_table6(cells, scale)}\n\nWrote')
    for file in files:
        print(f'  {file}')


def keep_protocol(work_dir: Path, protocol: Protocol, cells: Sequence[Cell]) -> None:
    """Note what a work directory is for, so that the report needs no more than its name.

    Raises:
        UsageError: it is for something else.
    """
    new = {
        'num_gpus': protocol.num_gpus,
        'scale': protocol.scale.factor,
        'seed': protocol.seed,
        'data': protocol.data,
        'options': protocol.options,
        'evaluated_on': cells[0].cfg.test_dataloader.dataset.ann_file,
    }
    base_lrs = {cell.base_lr for cell in cells}
    kept = _read(work_dir)
    if kept is not None:
        base_lrs.update(kept.pop('base_lrs'))
        # Through JSON, which has lists for tuples.
        differing = [k for k, v in json.loads(json.dumps(new)).items() if kept[k] != v]
        if differing:
            key = differing[0]
            raise UsageError(
                f'{work_dir} holds a run with {key} {kept[key]!r}, not {new[key]!r}; name another '
                f'--work-dir'
            )
    work_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**new, 'base_lrs': sorted(base_lrs)}, indent=2) + '\n'
    write_text_atomic(work_dir / _PROTOCOL, text)


def _read(work_dir: Path) -> dict | None:
    path = work_dir / _PROTOCOL
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else None
