"""Cells of a comparison: which config, images per GPU and seed, and the config that follows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import Repr
from typing import Any

from mmengine.config import Config

from mmdet_frn.datasets import CocoFolder, use_coco_folder
from mmdet_frn.norms import norm_label
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.files import write_text_atomic

from .scaling import scale_steps, scale_to_batch

PREDICTIONS = 'predictions.pkl'
CONFIG = 'config.py'
_IDENTITY = 'cell.json'
_short = Repr()
_short.maxstring = _short.maxother = 80


@dataclass(frozen=True)
class Cell:
    """One training and evaluation: a row (method), a column (images per GPU) and a seed.

    ``num_gpus`` counts processes. With ``accumulate`` above 1 each of them takes that many
    iterations for one step of the optimizer. ``base_lr`` is what a search over learning rates
    varies, None without one.
    """

    config: Path
    method: str
    images_per_gpu: int
    num_gpus: int
    seed: int
    folder: Path
    cfg: Config
    accumulate: int = 1
    base_lr: float | None = None

    @property
    def name(self) -> str:
        """Short name for people."""
        searched = '' if self.base_lr is None else f', base lr {self.base_lr:g}'
        return f'{self.method}, {self.images_per_gpu} images/GPU{searched}, seed {self.seed}'

    @property
    def batch_size(self) -> int:
        """Images per step of the optimizer on all GPUs."""
        return self.images_per_gpu * self.num_gpus * self.accumulate

    @property
    def steps(self) -> int:
        """Steps of the optimizer; epochs where the config counts those."""
        iters = self.cfg.train_cfg.get('max_iters') or self.cfg.train_cfg.max_epochs
        return iters // self.accumulate

    @property
    def lr(self) -> float:
        """Peak learning rate."""
        return self.cfg.optim_wrapper.optimizer.lr


def plan_cells(
    configs: Sequence[str | Path],
    images_per_gpu: Sequence[int],
    work_dir: str | Path,
    *,
    seeds: Sequence[int] = (0,),
    num_gpus: int = 1,
    steps: int | None = None,
    data: CocoFolder | None = None,
    options: dict | None = None,
) -> list[Cell]:
    """Resolve the configs of all cells, in the order in which they run.

    Args:
        configs: Config files, one a row.
        images_per_gpu: The columns.
        work_dir: Folder that holds a folder for each cell.
        seeds: Seeds of each cell. Default (0,).
        num_gpus: GPUs, or processes, of each cell. Default 1.
        steps: Training steps at the batch size that a config is written for, in place of its own;
            warm-up and intervals shrink with them. Default None.
        data: Replaces the datasets that the configs name. Default None.
        options: ``--cfg-options`` for every config. Default None.

    Raises:
        UsageError: a config is unusable or named twice, or ``steps`` does not fit it.
    """
    work_dir = Path(work_dir)
    paths = [Path(config) for config in configs]
    repeated = [stem for stem, n in Counter(path.stem for path in paths).items() if n > 1]
    if repeated:
        raise UsageError(f'two configs are called {repeated[0]}; each row needs its own name')
    labels = {path: norm_label(load_config(path, options)) for path in paths}
    shared = {label for label, n in Counter(labels.values()).items() if n > 1}
    cells = []
    for images in images_per_gpu:
        for path in paths:
            for seed in seeds:
                folder = work_dir / f'{path.stem}_{num_gpus}xb{images}_seed{seed}'
                cfg = load_config(path, options)
                if data is not None:
                    use_coco_folder(cfg, data)
                if steps is not None:
                    _set_steps(cfg, steps)
                scale_to_batch(cfg, images, num_gpus)
                cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
                cfg.work_dir = str(folder)
                label = labels[path]
                method = f'{label} ({path.stem})' if label in shared else label
                cells.append(Cell(path, method, images, num_gpus, seed, folder, cfg))
    return cells


def _set_steps(cfg: Config, steps: int) -> None:
    if steps < 1:
        raise UsageError(f'steps must be at least 1, but are {steps}')
    if 'max_iters' not in cfg.train_cfg:
        raise UsageError(f'config {cfg.filename} counts epochs, not steps; leave out --steps')
    scale_steps(cfg, steps / cfg.train_cfg.max_iters)


def prepare_folder(cell: Cell) -> None:
    """Create the cell's folder with its config, or check that it was made for the same config.

    Raises:
        UsageError: the folder was made with other settings; nothing is changed then.
    """
    settings = cell.cfg.to_dict()
    for key in ('work_dir', 'filename'):
        settings.pop(key, None)
    identity = json.dumps(settings, sort_keys=True, default=str)
    path = cell.folder / _IDENTITY
    if path.is_file():
        found, asked = json.loads(path.read_text(encoding='utf-8')), json.loads(identity)
        # A variable of the config file: --data leaves it, and the datasets name their own.
        for config in (found, asked):
            config.pop('data_root', None)
        if found != asked:
            raise UsageError(
                f'{cell.folder} holds results of other settings for {cell.name} '
                f'({_difference(found, asked)}); name another --work-dir, or move that folder away'
            )
    cell.folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        cell.cfg.dump(cell.folder / CONFIG)
        write_text_atomic(path, identity)


def _difference(found: Any, asked: Any, key: str = '') -> str:
    """Name the first setting in which two configs differ, with both values."""
    if isinstance(found, dict) and isinstance(asked, dict):
        for name in sorted(found.keys() | asked.keys()):
            if found.get(name) != asked.get(name):
                path = f'{key}.{name}' if key else name
                return _difference(found.get(name), asked.get(name), path)
    return f'{key} was {_short.repr(found)}, is {_short.repr(asked)}'
