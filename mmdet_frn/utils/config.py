"""Loading configs with errors a user can act on."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError
from mmengine.logging import MMLogger

from .data_root import ENV, data_root_problem
from .errors import UsageError


def load_config(path: str | Path, options: dict | None = None) -> Config:
    """Load a config file and merge ``--cfg-options`` into it.

    Args:
        path: The config file.
        options: Keys such as ``model.backbone.depth`` and their values. Default None.

    Raises:
        UsageError: the file or one of its bases does not exist, it does not parse, or the data
            root is no value for a config.
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
        cfg.merge_from_dict(options or {})
    except (OSError, SyntaxError, KeyError, TypeError, AttributeError, ConfigParsingError) as error:
        reason = str(error).strip().replace('\n', ' ')
        raise UsageError(
            f'config {path} cannot be loaded: {type(error).__name__}: {reason}'
        ) from error
    return cfg


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
