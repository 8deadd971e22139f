"""Training a detector through MMEngine's Runner."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdet_frn.datasets import check_cfg
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.launch import is_first_process, set_launcher


def train_detector(
    config: str | Path,
    *,
    work_dir: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    resume: str | None = None,
    options: dict | None = None,
    launcher: str = 'none',
) -> None:
    """Train the detector of a config file; the arguments are those of MMDetection's tools/train.py.

    Unlike there, the datasets are checked before training starts, and a work directory that holds
    checkpoints is not written into again without ``resume``.

    Args:
        config: Config file.
        work_dir: Logs and checkpoints. Default: the config's, else ``work_dirs/<config>``.
        amp: Train in automatic mixed precision. Default False.
        auto_scale_lr: Scale the learning rate by the config's ``auto_scale_lr``. Default False.
        resume: A checkpoint to go on from, or 'auto' for the last one in the work directory.
        options: ``--cfg-options``. Default None.
        launcher: MMEngine's launcher. Default 'none'.

    Raises:
        UsageError, DatasetError: a config, option or dataset is unusable; nothing was written.
    """
    cfg = load_config(config, options)
    set_launcher(cfg, launcher)
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(config).stem))
    if amp:
        if get_device() == 'cpu':
            raise UsageError('--amp needs a GPU, and MMEngine finds none; leave it out')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if auto_scale_lr:
        _enable_auto_scale_lr(cfg)
    if resume is not None:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume
    if is_first_process():
        _check_work_dir(cfg)
        check_cfg(cfg, splits=('train', 'val'))
    runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
    runner.train()


def _enable_auto_scale_lr(cfg: Config) -> None:
    given = cfg.get('auto_scale_lr') or {}
    missing = [key for key in ('enable', 'base_batch_size') if key not in given]
    if missing:
        raise UsageError(
            f'--auto-scale-lr needs auto_scale_lr.{missing[0]} in config {cfg.filename}; add it'
        )
    cfg.auto_scale_lr.enable = True


def _check_work_dir(cfg: Config) -> None:
    """Raise unless training into the work directory overwrites nothing and has what it resumes."""
    if cfg.get('resume'):
        if cfg.get('load_from') and not Path(cfg.load_from).is_file():
            raise UsageError(f'--resume: checkpoint {cfg.load_from} does not exist')
        return
    kept = sorted(Path(cfg.work_dir).glob('*.pth'))
    if kept:
        raise UsageError(
            f'{cfg.work_dir} holds checkpoints of an earlier run ({kept[-1].name}); '
            f'add --resume to go on from the last one, or name another --work-dir'
        )
