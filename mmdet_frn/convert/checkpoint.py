"""Converting a config with its checkpoint into a config and a checkpoint."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmdet_frn.engine.checkpoint import read_checkpoint, safe_checkpoints
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.files import write_bytes_atomic, write_text_atomic

from .agreement import choose_kappa
from .calibrate import detector_agreement
from .config import build_detector, convert_cfg
from .convert import examine
from .detector import INPUT_SIZE, convert_detector
from .report import Report, some


@dataclass
class Converted:
    """What :func:`convert_checkpoint` wrote, and its report."""

    config: Path
    checkpoint: Path
    report: Report


def convert_checkpoint(
    cfg: Config,
    checkpoint: str | Path | None,
    out: str | Path,
    *,
    norm_cfg: dict | None = None,
    act_cfg: dict | None = None,
    kappa: float = 0.0,
    calibrate: int = 0,
) -> Converted:
    """Write the config and the weights of a converted BN detector.

    The config is complete, builds the converted detector and loads the weights; MMDetection's
    tools and DetInferencer take both.

    Args:
        cfg: Config of the BN detector.
        checkpoint: Its weights. Default None: those of the config's ``init_cfg``.
        out: Folder, made if need be; must not hold the files yet.
        norm_cfg: See :func:`~mmdet_frn.convert.convert`.
        act_cfg: See :func:`~mmdet_frn.convert.convert`.
        kappa: See :func:`~mmdet_frn.convert.convert`; ignored when calibrated.
        calibrate: Choose kappa on that many images of the test dataset, without their labels, and
            take the report's statistics from them. Default 0: the report has none.

    Raises:
        UsageError: the checkpoint does not fit the config, or a file exists already.
        ValueError: an argument does not fit the model.
    """
    norm_cfg = norm_cfg or {'type': 'FRN'}
    stem = f'{Path(cfg.filename).stem}_to-{norm_cfg["type"].lower()}'
    config, weights = (Path(out, stem + suffix) for suffix in ('.py', '.pth'))
    for path in (config, weights):
        if path.exists():
            raise UsageError(f'{path} exists already; remove it or name another folder with -o')
    if cfg.model.type == 'Converted':
        raise UsageError(f'{cfg.filename} is the config of a converted detector already')
    model = build_detector(cfg)
    meta = _load(model, cfg, checkpoint)
    batches = _batches(cfg, model, calibrate) if calibrate else []
    size = INPUT_SIZE
    if batches:
        size = tuple(min(a, b) for a, b in zip(batches[0]['inputs'].shape[2:], size, strict=True))
    agreements = []
    variation: dict[str, float] = {}
    suggested = None
    if batches:
        variation, suggested = examine(model, lambda: [_run(model, batch) for batch in batches])
        if norm_cfg['type'] == 'FRN':
            agreements = detector_agreement(model, batches, norm_cfg, size)
            kappa = choose_kappa(agreements)
    report = convert_detector(model, norm_cfg, act_cfg, kappa, size)
    if not report.replaced:
        raise UsageError(f'{cfg.filename} builds a detector without BN: nothing to convert')
    report.variation, report.suggested_kappa = variation, suggested
    report.agreements = agreements
    written = convert_cfg(cfg, norm_cfg, act_cfg, kappa, size)
    _forget_pretrained(written.model)
    Path(out).mkdir(parents=True, exist_ok=True)
    written.load_from = str(weights.resolve())
    written.resume = False
    meta['cfg'] = written.pretty_text
    _check(written, model.state_dict())
    buffer = io.BytesIO()
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, buffer)
    write_bytes_atomic(weights, buffer.getvalue())
    write_text_atomic(config, written.pretty_text)
    return Converted(config, weights, report)


def _load(model: BaseModel, cfg: Config, checkpoint: str | Path | None) -> dict:
    """Load the weights, all of them or none; return the metadata to keep."""
    if checkpoint is None:
        with safe_checkpoints():
            model.init_weights()
        return {'dataset_meta': _dataset_meta(cfg)}
    if not Path(checkpoint).is_file():
        raise UsageError(f'checkpoint {checkpoint} does not exist')
    found = read_checkpoint(checkpoint)
    state = found.get('state_dict', found)
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    own = model.state_dict()
    optional = {key for key in own if key.endswith('num_batches_tracked')}
    problems = {
        'missing': [key for key in own if key not in state and key not in optional],
        'unknown to the config': [key for key in state if key not in own],
        'of another shape': [
            key for key in state if key in own and own[key].shape != state[key].shape
        ],
    }
    text = '; '.join(f'{len(keys)} {what}: {some(keys)}' for what, keys in problems.items() if keys)
    if text:
        hint = '; it looks like a converted one' if _is_converted(state) else ''
        raise UsageError(f'checkpoint {checkpoint} does not fit {cfg.filename}: {text}{hint}')
    model.load_state_dict(state, strict=False)
    meta = found.get('meta') or {}
    return {'dataset_meta': meta.get('dataset_meta') or _dataset_meta(cfg)}


def _is_converted(state: dict) -> bool:
    return not any(key.endswith('running_var') for key in state)


def _dataset_meta(cfg: Config) -> dict:
    from mmdet.registry import DATASETS

    dataset = copy.deepcopy(cfg.test_dataloader.dataset)
    dataset['lazy_init'] = True
    return dict(DATASETS.build(dataset).metainfo)


def _batches(cfg: Config, model: BaseModel, images: int) -> list[dict[str, Any]]:
    """Return preprocessed batches of the first images of the test dataset, one image each."""
    loader = copy.deepcopy(cfg.test_dataloader)
    loader.batch_size, loader.num_workers, loader.persistent_workers = 1, 0, False
    try:
        loaded = Runner.build_dataloader(loader, seed=0)
    except FileNotFoundError as error:
        raise UsageError(f'--calibrate needs the test dataset: {error}') from error
    model.eval()
    batches = []
    for data in loaded:
        batches.append(model.data_preprocessor(data, False))
        if len(batches) == images:
            break
    return batches


def _run(model: nn.Module, batch: dict) -> Any:
    return model(batch['inputs'], batch['data_samples'], mode='tensor')


def _forget_pretrained(cfg: Any) -> None:
    """Remove ``init_cfg`` of weights that the checkpoint replaces, so nobody downloads them."""
    if isinstance(cfg, dict):
        init = cfg.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            cfg['init_cfg'] = None
        for value in cfg.values():
            _forget_pretrained(value)
    elif isinstance(cfg, Sequence) and not isinstance(cfg, str):
        for value in cfg:
            _forget_pretrained(value)


def _check(cfg: Config, state: dict) -> None:
    """Build the written config and load the weights, strictly."""
    Config.fromstring(cfg.pretty_text, '.py')
    build_detector(cfg).load_state_dict(state)
