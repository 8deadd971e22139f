"""The folder that holds the datasets, one setting for all configs: MMDET_FRN_DATA_ROOT."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# The configs read it as {{$MMDET_FRN_DATA_ROOT:data}}.
ENV = 'MMDET_FRN_DATA_ROOT'
DEFAULT = 'data'


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-root``, which comes before the environment variable."""
    parser.add_argument(
        '--data-root',
        metavar='DIR',
        help=f'folder that holds coco/, shapes/, bccd/ (${ENV}, else {DEFAULT})',
    )


def set_data_root(args: argparse.Namespace) -> None:
    """Set the environment variable that configs are loaded with, and processes started.

    Without trailing slashes, so that one folder is one setting to ``tools/compare.py``.
    """
    root = os.environ.get(ENV) if args.data_root is None else args.data_root
    if root is not None:
        os.environ[ENV] = os.path.normpath(Path(root).expanduser()) if root else ''


def data_root() -> Path:
    """Return the folder that holds the datasets."""
    return Path(os.environ.get(ENV, DEFAULT))


def data_root_problem() -> str | None:
    """Return why no config can be loaded with the setting, None if one can.

    MMEngine pastes the value into the configs' text, as the replacement of a regular expression
    and between quotes.
    """
    root = os.environ.get(ENV, DEFAULT)
    if not root:
        return f'{ENV}, or --data-root, is empty; name the folder that holds the datasets'
    bad = next((c for c in root if c in '\'"\\{}' or not c.isprintable()), None)
    if bad is not None:
        return (
            f'{ENV}, or --data-root, is {root!r}, and configs cannot hold its {bad!r}; make a link '
            f'to the folder, and name that'
        )
    return None
