"""The planner: which runs an experiment has, and the config of each."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from mmengine.config import Config

from mmdet_frn.datasets import CocoFolder, find_coco, use_coco_folder, write_folds
from mmdet_frn.engine.accumulation import accumulate
from mmdet_frn.norms import norm_label
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError

from .runs import IDENTITY, Run, load_run_config, row_labels
from .scaling import scale_steps, scale_to_batch
from .smoke import Scale, use_subsets

_FOLDER = re.compile(
    r'(?P<config>.+)_(?P<gpus>\d+)xb(?P<images>\d+)_seed(?P<seed>\d+)(?:_fold(?P<fold>\d+))?'
)


@dataclass(frozen=True)
class Setup:
    """What all runs of an experiment share.

    Args:
        num_gpus: GPUs, or processes, that train a run. Default 1.
        seeds: Seeds of each run. Default (0,).
        base_lrs: Learning rates to search, at the batch size ``base_batch_size``; None takes the
            config's. Default (None,).
        base_batch_size: See ``base_lrs``. Default 64.
        for_gpus: GPUs that the configs are written for, of which each of ``num_gpus`` does the work
            of several by accumulating gradients; None scales learning rate and steps to the batch
            instead. Default None.
        steps: Training steps at a config's own batch size, in place of its own. Default None.
        scale: Below 1 for a smoke run.
        data: COCO-format folder in place of the configs' datasets. Default None.
        folds: Folds of cross-validation over all images of ``data``. Default None.
        options: ``--cfg-options`` for every config. Default None.
    """

    num_gpus: int = 1
    seeds: Sequence[int] = (0,)
    base_lrs: Sequence[float | None] = (None,)
    base_batch_size: int = 64
    for_gpus: int | None = None
    steps: int | None = None
    scale: Scale = field(default_factory=Scale)
    data: str | Path | None = None
    folds: int | None = None
    options: dict | None = None

    def __post_init__(self) -> None:
        if self.for_gpus and (self.num_gpus < 1 or self.for_gpus % self.num_gpus):
            raise UsageError(
                f'--gpus must divide the {self.for_gpus} of the protocol (1, 2, 4 or 8), got '
                f'{self.num_gpus}'
            )
        for base_lr in self.base_lrs:
            if base_lr is not None and not base_lr > 0:
                raise UsageError(f'--base-lr must be > 0, got {base_lr:g}')
        if self.folds is not None and self.data is None:
            raise UsageError(
                '--folds splits the images of a COCO-format folder; name it with --data'
            )
        for seed in self.seeds:
            if seed < 0:
                raise UsageError(f'--seeds must be >= 0, got {seed}')


def plan_runs(
    choices: Iterable[tuple[str | Path, int]], work_dir: str | Path, setup: Setup
) -> list[Run]:
    """Return the runs of an experiment, in the order in which they start.

    Args:
        choices: A config file and images per GPU for each run; seeds, folds and learning rates of
            ``setup`` multiply them.
        work_dir: Folder that holds a folder for each run.
        setup: What they share.

    Raises:
        UsageError: a config is unusable, two differ by folder alone, or the steps do not fit.
        DatasetError: the data folder is unusable.
    """
    work_dir = Path(work_dir)
    chosen = [(Path(config), images) for config, images in choices]
    paths = dict.fromkeys(config for config, _ in chosen)
    repeated = [stem for stem, n in Counter(path.stem for path in paths).items() if n > 1]
    repeated += [path.stem for (path, _), n in Counter(chosen).items() if n > 1]
    if repeated:
        raise UsageError(f'two configs are called {repeated[0]}; each row needs its own name')
    loaded = {path: load_config(path, setup.options) for path in paths}
    labels = {
        images: row_labels({p.stem: loaded[p] for p, other in chosen if other == images})
        for _, images in chosen
    }
    folds = _folds(setup, work_dir)
    runs = []
    for (path, images), base_lr, seed, (fold, data) in product(
        chosen, setup.base_lrs, setup.seeds, folds.items()
    ):
        name = path.stem
        name += f'_{setup.num_gpus}xb{images}' if base_lr is None else f'_lr{base_lr:g}'
        name += f'_seed{seed}' + ('' if fold is None else f'_fold{fold}')
        accumulation = setup.for_gpus // setup.num_gpus if setup.for_gpus else 1
        run = Run(
            config=path.stem,
            norm=labels[images][path.stem],
            images_per_gpu=images,
            num_gpus=setup.num_gpus,
            seed=seed,
            folder=work_dir / name,
            cfg=copy.deepcopy(loaded[path]),
            accumulate=accumulation,
            base_lr=base_lr,
            fold=fold,
        )
        _fit_config(run, data, work_dir / 'data', setup)
        runs.append(run)
    return runs


def _folds(setup: Setup, work_dir: Path) -> dict[int | None, CocoFolder | None]:
    if setup.data is None:
        return {None: None}
    data = find_coco(setup.data)
    if setup.folds is None:
        return {None: data}
    return dict(enumerate(write_folds(data, setup.folds, work_dir / f'folds{setup.folds}')))


def _fit_config(run: Run, data: CocoFolder | None, subsets: Path, setup: Setup) -> None:
    """Make the config of a run, a copy of its file's, train that run."""
    cfg = run.cfg
    if data is not None:
        use_coco_folder(cfg, data)
    if setup.steps is not None:
        _set_steps(cfg, setup.steps)
    if setup.for_gpus is None:
        scale_to_batch(cfg, run.images_per_gpu, run.num_gpus)
    else:
        # Written for this batch: MMEngine must not scale it.
        cfg.auto_scale_lr.enable = False
    if run.base_lr is not None:
        cfg.optim_wrapper.optimizer.lr = run.base_lr * run.batch_size / setup.base_batch_size
    setup.scale.apply(cfg)
    use_subsets(cfg, setup.scale, subsets)
    if run.accumulate > 1:
        accumulate(cfg, run.accumulate)
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=run.seed)
    cfg.work_dir = str(run.folder)


def _set_steps(cfg: Config, steps: int) -> None:
    if steps < 1:
        raise UsageError(f'--steps must be >= 1, got {steps}')
    if 'max_iters' not in cfg.train_cfg:
        raise UsageError(f'config {cfg.filename} counts epochs, not steps; leave out --steps')
    scale_steps(cfg, steps / cfg.train_cfg.max_iters)


def find_runs(work_dir: Path, data: str | Path | None = None) -> tuple[list[Run], list[str]]:
    """Return the runs that are in a work directory, at any depth, without planning them.

    Args:
        work_dir: Searched for folders called ``<config>_<gpus>xb<images>_seed<seed>[_fold<k>]``.
        data: COCO-format folder with the annotations, where they were moved since; ``data`` itself
            or, for folds, its subfolder ``fold<k>``. Default None.

    Returns:
        The runs by name, and a line for each folder that cannot be read.

    Raises:
        UsageError: there is none.
    """
    runs, unreadable = [], []
    for path in sorted(work_dir.rglob(IDENTITY)):
        match = _FOLDER.fullmatch(path.parent.name)
        if not match:
            continue
        try:
            cfg = load_run_config(path)
            fold = int(match['fold']) if match['fold'] else None
            if data is not None:
                folder = Path(data) / f'fold{fold}'
                use_coco_folder(cfg, find_coco(folder if folder.is_dir() else data))
            run = Run(
                config=match['config'],
                norm='',
                images_per_gpu=int(match['images']),
                num_gpus=int(match['gpus']),
                seed=int(match['seed']),
                folder=path.parent,
                cfg=cfg,
                fold=fold,
            )
            norm_label(cfg), run.steps, run.lr, run.annotations  # all are there
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            unreadable.append(f'{path.parent}: unreadable: {path.name}: {error!r}')
            continue
        runs.append(run)
    if not runs:
        raise UsageError(f'{work_dir} holds no runs; give the --work-dir of an earlier comparison')
    labels = {
        images: row_labels({run.config: run.cfg for run in runs if run.images_per_gpu == images})
        for images in {run.images_per_gpu for run in runs}
    }
    named = [replace(run, norm=labels[run.images_per_gpu][run.config]) for run in runs]
    named.sort(key=lambda r: (-r.images_per_gpu, r.config, r.seed, r.fold or 0))
    return named, unreadable
