"""Loading checkpoints: no code that a file brings is run, and a mismatch is an error."""

from __future__ import annotations

import argparse
import functools
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import CheckpointLoader, Runner
from torch import serialization

from mmdet_frn.utils.errors import UsageError

# PyTorch's own names: the first makes torch.load refuse whatever is not data, the second is how a
# user tells it that its files are trusted.
_FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
TRUST = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


def add_unsafe_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add ``--unsafe-checkpoint``."""
    parser.add_argument(
        '--unsafe-checkpoint',
        action='store_true',
        help=f'load checkpoints that can run code: only from a source you trust (also ${TRUST}=1)',
    )


def set_unsafe_checkpoint(args: argparse.Namespace) -> None:
    """Set the variable that the option stands for, for this process and those that it starts."""
    if args.unsafe_checkpoint:
        os.environ[TRUST] = '1'


def trusts_checkpoints() -> bool:
    """Whether the user said by ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1`` that files may run code."""
    return os.environ.get(TRUST, '0').lower() in ('1', 'y', 'yes', 'true')


def _statistic(owner: Any, name: str) -> Callable:
    """Stand for getattr in a checkpoint: MMEngine's pickles the methods of HistoryBuffer by it."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise UnpicklingError(f'GLOBAL getattr of {name} is not one of HistoryBuffer')
    return getattr(owner, name)


def _named(function: Callable, path: str) -> Callable:
    """Return the function under another name, that which PyTorch looks up in a checkpoint.

    From PyTorch 2.6 on a tuple of both would do.
    """

    def renamed(*args: Any) -> Any:
        return function(*args)

    renamed.__module__, renamed.__name__ = path.rsplit('.', 1)
    renamed.__qualname__ = renamed.__name__  # what later versions ask for
    return renamed


def _safe_globals() -> list:
    """Return what MMEngine's checkpoints hold besides tensors: logged numbers, as NumPy arrays."""
    multiarray: Sequence[Any] = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    # NumPy 1 and 2 write each other's files under these two names.
    renamed = [
        _named(function, f'numpy.{core}.multiarray.{function.__name__}')
        for function in multiarray
        for core in ('core', '_core')
    ]
    kinds = {type(np.dtype(code)) for code in (*np.typecodes['AllInteger'], *'?efdgUS')}
    statistic = _named(_statistic, 'builtins.getattr')
    return [np.ndarray, np.dtype, *kinds, *renamed, HistoryBuffer, statistic]


def read_checkpoint(path: str | Path, map_location: Any = 'cpu') -> Any:
    """Read a checkpoint file that holds tensors, numbers and text, and nothing that runs.

    The config that MMEngine puts into ``meta`` is left out: it is Python, and a resume runs it.

    Args:
        path: The file.
        map_location: As for torch.load. Default 'cpu'.

    Returns:
        What the file holds.

    Raises:
        UsageError: the file holds something else, named in the message, or is no checkpoint.
    """
    try:
        if trusts_checkpoints():
            checkpoint = torch.load(path, map_location=map_location, weights_only=False)
        else:
            with serialization.safe_globals(_safe_globals()):
                checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        raise UsageError(_refusal(path, error)) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UsageError(_unreadable(path, error)) from error
    return _without_config(checkpoint)


def _refusal(path: str | Path, error: UnpicklingError) -> str:
    try:
        with serialization.safe_globals(_safe_globals()):
            found = sorted(serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # a file that is not to be trusted may lead to any
        found = []
    # What only running the file would show, PyTorch's message names.
    found = found or re.findall(r'(?:GLOBAL|function) (\S+)', str(error))[:1]
    if not found:
        return _unreadable(path, error)
    return (
        f'checkpoint {path} is refused, because loading it could run code: it holds '
        f'{_some(found)}; if you trust where it comes from, add --unsafe-checkpoint or set '
        f'{TRUST}=1'
    )


def _unreadable(path: str | Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f'checkpoint {path} does not exist'
    why = f' ({error.strerror})' if isinstance(error, PermissionError) else ''
    return f'checkpoint {path} cannot be read{why}: it is cut short, damaged or no checkpoint'


def _without_config(checkpoint: Any) -> Any:
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    if isinstance(meta, dict):
        meta.pop('config', None)
    return checkpoint


@contextmanager
def safe_checkpoints() -> Iterator[None]:
    """Make MMEngine load checkpoints as :func:`read_checkpoint` does, wherever it loads one.

    MMEngine falls back to running the code in a file that holds some. Within this context it does
    not, for ``load_from``, ``resume``, ``init_cfg`` and every scheme of path, unless
    :func:`trusts_checkpoints`. PyTorch before 2.5 cannot load NumPy's arrays as data; there it
    warns.

    Raises:
        UsageError: a checkpoint loaded within holds more than data.
    """
    if not hasattr(serialization, 'safe_globals'):
        warnings.warn(
            f'PyTorch {torch.__version__} is older than 2.5: loading a checkpoint can run code in '
            f'it; load only what you trust',
            stacklevel=3,
        )
        yield
        return
    if trusts_checkpoints():
        yield
        return
    loaders = CheckpointLoader._schemes
    CheckpointLoader._schemes = {
        prefix: _load_local if prefix == '' else _weights_only(loader)
        for prefix, loader in loaders.items()
    }
    try:
        yield
    finally:
        CheckpointLoader._schemes = loaders


def _load_local(filename: str, map_location: Any = None) -> Any:
    path = Path(filename).expanduser()
    if not path.is_file():
        raise UsageError(f'checkpoint {filename} does not exist')
    return read_checkpoint(path, map_location)


def _weights_only(loader: Callable) -> Callable:
    """Return a loader of MMEngine's, such as that of URLs, which reads data only."""

    @functools.wraps(loader)
    def load(filename: str, map_location: Any = None) -> Any:
        before = os.environ.get(_FORCE)
        os.environ[_FORCE] = '1'
        try:
            return _without_config(loader(filename, map_location))
        except UnpicklingError as error:
            raise UsageError(_refusal(filename, error)) from None
        finally:
            os.environ.pop(_FORCE) if before is None else os.environ.update({_FORCE: before})

    return load


def check_resumable(path: str | Path) -> None:
    """Raise unless a checkpoint file holds what a training is resumed from.

    Raises:
        UsageError: the file is refused by :func:`read_checkpoint`, or holds weights alone.
    """
    checkpoint = read_checkpoint(path, 'meta')
    keys = ('state_dict', 'meta', 'message_hub', 'optimizer')
    missing = [key for key in keys if not isinstance(checkpoint, Mapping) or key not in checkpoint]
    if missing:
        raise UsageError(
            f'checkpoint {path} cannot be resumed: it has no {_some(missing)}, as one of weights '
            f'alone; to start from its weights set --cfg-options load_from={path} in place of '
            f'--resume'
        )


def load_strictly(runner: Runner, remedy: str) -> None:
    """Make ``runner`` refuse a checkpoint whose keys or shapes are not those of its model.

    MMEngine warns of it and goes on, with random weights where none were given.

    Args:
        runner: Its later ``load_checkpoint``, called by train and test, is changed.
        remedy: What to do, the end of the message.

    Raises:
        UsageError: on loading, in the first process.
    """
    load = runner.load_checkpoint

    def load_checkpoint(filename: str, *args: Any, **kwargs: Any) -> dict:
        try:
            return load(filename, *args, **{**kwargs, 'strict': True})
        except RuntimeError as error:
            # Text of MMEngine: a line for the missing keys, one for the unexpected, one a shape.
            kinds: dict[str, list[str]]
            kinds = {'missing keys': [], 'unexpected keys': [], 'other shapes': []}
            for line in str(error).splitlines():
                what, colon, names = line.partition(': ')
                if what.startswith(('missing keys', 'unexpected key')):
                    kind = 'missing keys' if what.startswith('missing') else 'unexpected keys'
                    kinds[kind] += names.split(', ')
                elif colon and 'size mismatch' in what:
                    kinds['other shapes'].append(what.split()[-1])
            found = '; '.join(f'{len(v)} {kind}: {_some(v)}' for kind, v in kinds.items() if v)
            if not found:
                raise
            raise UsageError(
                f'checkpoint {filename} does not fit the model: {found}; {remedy}'
            ) from None

    runner.load_checkpoint = load_checkpoint


def _some(names: Sequence[str], limit: int = 3) -> str:
    """Return the first names and how many more there are; at most 300 characters."""
    rest = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(name[:90] for name in names[:limit]) + rest
