"""Table 6 of the paper on COCO: a preset of the planner with the paper's protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdet_frn.datasets import find_coco
from mmdet_frn.datasets.coco_file import read_coco
from mmdet_frn.norms import norm_label
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.files import write_text_atomic

from .main import Output, show_report
from .paper import BASE_BATCH_SIZE, BASE_LRS, IMAGES_PER_GPU, NORMS, NUM_GPUS
from .plan import Setup, plan_runs
from .runs import Run
from .smoke import COCO_IMAGES, Scale

_PROTOCOL = 'protocol.json'
# Intervals of 5000 images and 36 runs take long, and their size is known: 0.16 points.
OUTPUT = Output('Table 6: object detection on COCO', samples=0, paper=True)


def table6_setup(**changes: Any) -> Setup:
    """Return the paper's protocol with changes."""
    paper = Setup(
        num_gpus=NUM_GPUS,
        for_gpus=NUM_GPUS,
        base_lrs=BASE_LRS,
        base_batch_size=BASE_BATCH_SIZE,
    )
    return replace(paper, **changes)


def plan_table6(
    config_dir: Path,
    work_dir: Path,
    setup: Setup,
    *,
    norms: Sequence[str] = NORMS,
    images_per_gpu: Sequence[int] = IMAGES_PER_GPU,
) -> list[Run]:
    """Return the runs, by column, row and learning rate.

    Args:
        config_dir: ``configs/table6``: a config for each norm and number of images per GPU.
        work_dir: Folder that holds a folder for each run.
        setup: What they share.
        norms: Rows of the table. Default the paper's.
        images_per_gpu: Columns. Default 8, 4 and 2.

    Raises:
        UsageError: a norm or number of images has no config.
    """
    paths = {}
    for path in sorted(config_dir.glob('*_8xb*.py')):
        cfg = load_config(path)
        paths[norm_label(cfg), cfg.train_dataloader.batch_size] = path
    choices = []
    for images in images_per_gpu:
        for norm in norms:
            if (norm, images) not in paths:
                known = ', '.join(f'{m} at {n}' for m, n in paths)
                raise UsageError(
                    f'{config_dir} has no config of {norm} with {images} images per GPU; '
                    f'there are {known}'
                )
            choices.append((paths[norm, images], images))
    return plan_runs(choices, work_dir, setup)


def train_images(setup: Setup) -> int:
    """Images of the training set; COCO's own number unless other data are named."""
    images = COCO_IMAGES['train']
    if setup.data is not None:
        images = len(read_coco(find_coco(setup.data).train_ann)['images'])
    most = setup.scale.images('train')
    return images if most is None else min(images, most)


def report_table6(work_dir: Path, config_dir: Path) -> None:
    """Print the table and write the report on every run of a work directory.

    Needs neither the datasets nor a GPU.

    Raises:
        UsageError: nothing was run there.
    """
    kept = _read(work_dir)
    if kept is None:
        raise UsageError(
            f'{work_dir} holds no run of Table 6; give the --work-dir of the run command'
        )
    setup = table6_setup(
        num_gpus=kept['num_gpus'],
        scale=Scale(kept['scale']),
        seeds=(kept['seed'],),
        base_lrs=kept['base_lrs'],
        options=kept['options'],
    )
    runs = plan_table6(config_dir, work_dir, setup)
    for run in runs:
        run.cfg.test_dataloader.dataset.update(data_root='', ann_file=kept['evaluated_on'])
    show_report(runs, work_dir, setup, OUTPUT)


def keep_protocol(work_dir: Path, setup: Setup, runs: Sequence[Run]) -> None:
    """Note what a work directory is for, so that the report needs no more than its name.

    Raises:
        UsageError: it is for something else.
    """
    new = {
        'num_gpus': setup.num_gpus,
        'scale': setup.scale.factor,
        'seed': setup.seeds[0],
        'data': None if setup.data is None else str(setup.data),
        'options': setup.options,
        'evaluated_on': str(runs[0].annotations),
    }
    base_lrs = {run.base_lr for run in runs}
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
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UsageError(f'{path} is damaged ({error}); delete it and run again') from None
