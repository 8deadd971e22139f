"""Loading configs with errors a user can act on."""

from __future__ import annotations

import difflib
import inspect
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from .data_root import ENV, data_root_problem
from .errors import UsageError

# Top-level keys that are no arguments of Runner.
_READ_ELSEWHERE = {
    *('auto_scale_lr', 'compile', 'custom_imports', 'find_unused_parameters', 'model_wrapper_cfg'),
    *('runner_type', 'sync_bn', 'tta_model', 'tta_pipeline'),
}


def load_config(path: str | Path, options: dict | None = None) -> Config:
    """Load a config file and merge ``--cfg-options`` into it.

    Args:
        path: The config file.
        options: Keys such as ``model.backbone.depth`` and their values. Default None.

    Raises:
        UsageError: the file or one of its bases does not exist, it does not parse, an option sets
            what nothing reads, or the data root is no value for a config.
    """
    path = Path(path)
    if not path.is_file():
        known = [str(p) for p in Path('configs').glob('*/*.py')]
        close = difflib.get_close_matches(str(path), known, n=1)
        hint = f'; did you mean {close[0]}' if close else '; see configs/ for those of this project'
        raise UsageError(f'config {path} does not exist{hint}')
    problem = data_root_problem()
    if problem:
        raise UsageError(problem)
    try:
        with _without_notices():
            cfg = Config.fromfile(path)
        _check_options(cfg, options or {})
        cfg.merge_from_dict(options or {})
    except (OSError, SyntaxError, KeyError, TypeError, AttributeError, ConfigParsingError) as error:
        reason = str(error).strip().replace('\n', ' ')
        raise UsageError(
            f'config {path} cannot be loaded: {type(error).__name__}: {reason}'
        ) from error
    return cfg


def _check_options(cfg: Config, options: dict) -> None:
    """Raise for a setting of the command line that nothing reads.

    A name that MMEngine does not read may be a variable of the config; its value stands already
    where it is used.
    """
    read = {*inspect.signature(Runner.__init__).parameters, *_READ_ELSEWHERE} - {'self', 'cfg'}
    # The shortest path to each name, as optim_wrapper.optimizer.lr to lr.
    paths = {
        path.rpartition('.')[2]: path for key in read & {*cfg} for path in _paths(cfg[key], key)
    }
    for option in options:
        name = option.partition('.')[0]
        if name in read or (name in cfg and name not in paths):
            continue
        near = difflib.get_close_matches(name, {**dict.fromkeys(read), **paths}, n=1)
        hint = f'; did you mean {paths.get(near[0], near[0])}?' if near else ''
        raise UsageError(f'--cfg-options {option}: nothing reads {name}{hint}')


def _paths(node: Any, path: str) -> Iterator[str]:
    """Yield the path of each key below ``path``, those further down first."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _paths(value, f'{path}.{key}')
        yield from (f'{path}.{key}' for key in node)


@contextmanager
def _without_notices() -> Iterator[None]:
    """Leave out MMEngine's line on the data root: it comes with each load, 12 for a comparison."""
    if ENV not in os.environ:
        yield
        return

    def is_ours(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith('Using env variable')

    logger = MMLogger.get_current_instance()
    logger.addFilter(is_ours)
    try:
        yield
    finally:
        logger.removeFilter(is_ours)
