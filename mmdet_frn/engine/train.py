"""Training a detector through MMEngine's Runner."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from mmdet_frn.datasets import check_cfg
from mmdet_frn.utils.check_names import check_names
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.launch import is_first_process, set_launcher
from mmdet_frn.utils.lock import locked

from .checkpoint import check_resumable, load_strictly, read_checkpoint, safe_checkpoints
from .optim_wrapper_constructor import warn_of_norm_decay

_LOCK = '.lock'


def train_detector(
    config: str | Path,
    *,
    work_dir: str | None = None,
    amp: bool = False,
    channels_last: bool = False,
    auto_scale_lr: bool = False,
    resume: str | None = None,
    options: dict | None = None,
    launcher: str = 'none',
) -> None:
    """Train the detector of a config file; the arguments are those of tools/train.py.

    Unlike in MMDetection's, the config and the datasets are checked before training starts, a work
    directory that holds checkpoints is not written into again without ``resume``, nor one that
    another process trains in, and checkpoints are loaded as data (see
    :mod:`mmdet_frn.engine.checkpoint`).

    Args:
        config: Config file.
        work_dir: Logs and checkpoints. Default: the config's, else ``work_dirs/<config>``.
        amp: Train in automatic mixed precision. Default False.
        channels_last: Train in channels_last memory format. Default False.
        auto_scale_lr: Scale the learning rate by the config's ``auto_scale_lr``. Default False.
        resume: A checkpoint to go on from, or 'auto' for the last one in the work directory.
        options: ``--cfg-options``. Default None.
        launcher: MMEngine's launcher. Default 'none'.

    Raises:
        UsageError, DatasetError: a config, option, checkpoint or dataset is unusable; nothing was
            written.
    """
    cfg = load_config(config, options)
    set_launcher(cfg, launcher)
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(config).stem))
    if amp:
        if get_device() == 'cpu':
            raise UsageError(
                '--amp needs a GPU, and MMEngine finds none (its AmpOptimWrapper refuses a CPU, in '
                'bfloat16 too); leave it out'
            )
        agc = cfg.optim_wrapper.get('type') == 'AGCOptimWrapper'
        cfg.optim_wrapper.type = 'AmpAGCOptimWrapper' if agc else 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if channels_last:
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='ChannelsLastHook')]
    if auto_scale_lr:
        _enable_auto_scale_lr(cfg)
    if resume is not None:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume
    with ExitStack() as held:
        held.enter_context(safe_checkpoints())
        if is_first_process():
            _check_work_dir(cfg)
            check_names(cfg)
            check_cfg(cfg, splits=('train', 'val'))
            busy = f'another run is training in {cfg.work_dir}; wait for it or name another'
            held.enter_context(locked(Path(cfg.work_dir, _LOCK), f'{busy} --work-dir'))
            # The other run may have ended since.
            _check_work_dir(cfg)
            if cfg.get('resume') and not (cfg.load_from or find_latest_checkpoint(cfg.work_dir)):
                print(f'--resume: {cfg.work_dir} has no checkpoint; training starts from scratch')
        runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
        warn_of_norm_decay(cfg, runner.model)
        if cfg.get('resume'):
            load_strictly(runner, 'resume it with the config that it was made with')
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
    given = cfg.get('load_from')
    # A path with a scheme, such as https://, is MMEngine's to look up.
    local = given and '://' not in given
    if local and not Path(given).is_file():
        asked = '--resume' if cfg.get('resume') else 'load_from'
        raise UsageError(f'{asked}: checkpoint {given} does not exist')
    if cfg.get('resume'):
        found = given if given else find_latest_checkpoint(cfg.work_dir)
        if found and '://' not in found:
            check_resumable(found)
        return
    if local:
        read_checkpoint(given, 'meta')
    kept = sorted(Path(cfg.work_dir).glob('*.pth'))
    if kept:
        raise UsageError(
            f'{cfg.work_dir} holds checkpoints of an earlier run ({kept[-1].name}); '
            f'add --resume to go on from the last one, or name another --work-dir'
        )
