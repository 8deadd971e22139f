"""Evaluating a detector through MMEngine's Runner."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdet_frn.datasets import check_cfg
from mmdet_frn.utils.check_names import check_names
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.launch import is_first_process, set_launcher

from .checkpoint import load_strictly, read_checkpoint, safe_checkpoints


def evaluate_detector(
    config: str | Path,
    checkpoint: str | Path,
    *,
    work_dir: str | None = None,
    out: str | None = None,
    show: bool = False,
    show_dir: str | None = None,
    wait_time: float = 2,
    strict: bool = True,
    options: dict | None = None,
    launcher: str = 'none',
) -> dict[str, float]:
    """Evaluate a checkpoint; the arguments are those of MMDetection's tools/test.py.

    Args:
        config: Config file.
        checkpoint: Checkpoint file.
        work_dir: Logs and metrics. Default: the config's, else ``work_dirs/<config>``.
        out: Pickle file for the predictions. Default None.
        show: Show each prediction for ``wait_time`` seconds. Default False.
        show_dir: Folder for images with the predictions, below the run's own. Default None.
        wait_time: Seconds. Default 2.
        strict: Refuse a checkpoint whose keys or shapes are not the model's. Default True.
        options: ``--cfg-options``. Default None.
        launcher: MMEngine's launcher. Default 'none'.

    Returns:
        The metrics.

    Raises:
        UsageError, DatasetError: an argument, config, checkpoint or dataset is unusable.
    """
    cfg = load_config(config, options)
    if not Path(checkpoint).is_file():
        raise UsageError(f'checkpoint {checkpoint} does not exist')
    if out is not None and not out.endswith(('.pkl', '.pickle')):
        raise UsageError(f'--out must name a .pkl or .pickle file, but is {out}')
    set_launcher(cfg, launcher)
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(config).stem))
    cfg.load_from = str(checkpoint)
    if show or show_dir:
        shown = Namespace(show=show, show_dir=show_dir, wait_time=wait_time)
        cfg = trigger_visualization_hook(cfg, shown)
    if is_first_process():
        read_checkpoint(checkpoint, 'meta')
        check_names(cfg)
        check_cfg(cfg, splits=('test',))
    with safe_checkpoints():
        runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
        if strict:
            load_strictly(runner, 'give its own config, or add --no-strict to evaluate it anyhow')
        if out is not None:
            runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=out))
        return runner.test()
