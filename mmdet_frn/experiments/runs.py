"""A run: one training and evaluation, its config as data, and the folder that holds it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from reprlib import Repr
from typing import Any

from mmengine.config import Config

from mmdet_frn.norms import norm_label
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.files import write_text_atomic

IDENTITY = 'run.json'
_short = Repr()
_short.maxstring = _short.maxother = 80


@dataclass(frozen=True, eq=False)
class Run:
    """One training and evaluation: a norm (row), images per GPU (column), a seed and a fold.

    ``num_gpus`` counts processes. With ``accumulate`` above 1 each of them takes that many
    iterations for one step of the optimizer. ``base_lr`` is what a search over learning rates
    varies and ``fold`` what cross-validation does; None without.
    """

    config: str
    norm: str
    images_per_gpu: int
    num_gpus: int
    seed: int
    folder: Path
    cfg: Config
    accumulate: int = 1
    base_lr: float | None = None
    fold: int | None = None

    @property
    def name(self) -> str:
        """Short name for people."""
        searched = '' if self.base_lr is None else f', base lr {self.base_lr:g}'
        fold = '' if self.fold is None else f', fold {self.fold}'
        return f'{self.norm}, {self.images_per_gpu} images/GPU{searched}, seed {self.seed}{fold}'

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

    @property
    def annotations(self) -> Path:
        """Annotation file of the evaluation."""
        return ann_file(self.cfg, 'test')


def ann_file(cfg: Config, split: str) -> Path:
    """Return the annotation file of 'train', 'val' or 'test'."""
    dataset = cfg[f'{split}_dataloader'].dataset
    return Path(dataset.get('data_root') or '', dataset.ann_file)


def row_labels(cfgs: Mapping[str, Config]) -> dict[str, str]:
    """Name the rows of a column by their norms; where tau starts and the config tell equals apart.

    Args:
        cfgs: Configs by their file names.
    """

    def tau(name: str) -> str:
        act_cfg = cfgs[name].model.backbone.get('act_cfg') or {}
        return f' (tau {act_cfg.get("init", 0):g})' if act_cfg.get('type') == 'TLU' else ''

    labels = {name: norm_label(cfg) for name, cfg in cfgs.items()}
    for detail in (tau, ' ({})'.format):
        counts = Counter(labels.values())
        labels = {
            name: label + detail(name) if counts[label] > 1 else label
            for name, label in labels.items()
        }
    return labels


def prepare_folder(run: Run) -> None:
    """Create the run's folder with its config, or check that it was made for the same one.

    The config is kept as data, and with it the hash of each annotation file.

    Raises:
        UsageError: the folder was made with other settings or data, or cannot be read; nothing is
            changed then.
        OSError: the folder cannot be written.
    """
    settings = run.cfg.to_dict()
    for key in ('work_dir', 'filename'):
        settings.pop(key, None)
    paths = {ann_file(run.cfg, split) for split in ('train', 'val', 'test')}
    annotations = {str(p): _sha256(p, p.stat().st_mtime_ns) for p in paths if p.is_file()}
    text = _dump(settings, annotations)
    path = run.folder / IDENTITY
    if path.is_file():
        try:
            found, asked = json.loads(path.read_text(encoding='utf-8')), json.loads(text)
        except ValueError as error:
            raise UsageError(f'{path} is damaged ({error}); move {run.folder} away') from None
        # A variable of the config file: --data leaves it, and the datasets name their own.
        for kept in (found, asked):
            kept.get('config', {}).pop('data_root', None)
        if found != asked:
            raise UsageError(
                f'{run.folder} holds results of other settings for {run.name} '
                f'({_difference(found, asked)}); name another --work-dir, or move that folder away'
            )
    run.folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        write_text_atomic(path, text)


def _dump(settings: dict, annotations: dict[str, str]) -> str:
    """Return a config as JSON, in which ``{'tuple': [...]}`` stands for a tuple."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = [plain(item) for item in value]
            return {'tuple': items} if isinstance(value, tuple) else items
        # A class by its name, as the registries take it.
        return f'{value.__module__}.{value.__qualname__}' if isinstance(value, type) else value

    kept = {'config': plain(settings), 'annotations': annotations}
    return json.dumps(kept, sort_keys=True, default=str)


def load_run_config(path: Path) -> Config:
    """Return the config that :func:`prepare_folder` kept at ``path``.

    It is read as data: nothing in it is evaluated, whatever an annotation file calls its classes.
    """

    def restore(value: dict) -> Any:
        return tuple(value['tuple']) if value.keys() == {'tuple'} else value

    return Config(json.loads(path.read_text(encoding='utf-8'), object_hook=restore)['config'])


@cache
def _sha256(path: Path, mtime: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _difference(found: Any, asked: Any, key: str = '') -> str:
    """Name the first setting in which two configs differ, with both values."""
    if isinstance(found, dict) and isinstance(asked, dict):
        for name in sorted(found.keys() | asked.keys()):
            if found.get(name) != asked.get(name):
                path = f'{key}.{name}' if key else name
                return _difference(found.get(name), asked.get(name), path)
    return f'{key.removeprefix("config.")} was {_short.repr(found)}, is {_short.repr(asked)}'
