"""Reading a COCO-format annotation file, with checks of its fields; each error is one line."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from pathlib import Path
from reprlib import repr as short_repr
from typing import Any, Literal

Purpose = Literal['train', 'eval', 'predict']
StrPath = str | os.PathLike


class DatasetError(ValueError):
    """A dataset that cannot be used: one line with what, which file, value and remedy."""


def _is_number(value: Any) -> bool:
    # bool is an int to isinstance, and JSON's NaN and Infinity are floats to Python.
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST


# What NumPy and pycocotools hold as an integer, and no pixel is as far as that.
_LARGEST = 2**63


_BOX = 'four finite numbers [x, y, width, height], the last two not negative'
_KINDS: dict[str, Callable[[Any], bool]] = {
    'an integer of 64 bits': lambda value: type(value) is int and -_LARGEST <= value < _LARGEST,
    'a positive number': lambda value: _is_number(value) and value > 0,
    'a finite number': _is_number,
    'a non-empty string': lambda value: isinstance(value, str) and value != '',
    _BOX: lambda value: (
        isinstance(value, list)
        and len(value) == 4
        and all(map(_is_number, value))
        and value[2] >= 0 <= value[3]
    ),
    '0 or 1': lambda value: value in (0, 1),
}

# The fields that MMDetection's CocoDataset reads without a default.
_FIELDS = {
    'images': {
        'id': 'an integer of 64 bits',
        'file_name': 'a non-empty string',
        'width': 'a positive number',
        'height': 'a positive number',
    },
    'categories': {'id': 'an integer of 64 bits', 'name': 'a non-empty string'},
    'annotations': {
        'id': 'an integer of 64 bits',
        'image_id': 'an integer of 64 bits',
        'category_id': 'an integer of 64 bits',
        'bbox': _BOX,
        'area': 'a finite number',
    },
}


def read_coco(ann_file: StrPath, purpose: Purpose = 'train') -> dict[str, list[dict]]:
    """Read a COCO-format annotation file and check that its fields are there and of their types.

    Args:
        ann_file: Annotation file (JSON).
        purpose: See :func:`check_coco`.

    Returns:
        The file's dict.

    Raises:
        DatasetError: the file is missing, is not JSON, or a field is missing or of another type.
    """
    collects = gc.isenabled()
    # JSON has no cycles to collect, and looking for them takes half of the time for COCO's file.
    gc.disable()
    try:
        with Path(ann_file).open(encoding='utf-8') as file:
            data = json.load(file)
    except FileNotFoundError:
        raise DatasetError(
            f'annotation file {ann_file} does not exist; check data_root and ann_file'
        ) from None
    # Bytes that are no UTF-8, or numbers of thousands of digits, are a ValueError too.
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(
            f'annotation file {ann_file} cannot be read as JSON: {error}; check that it is COCO '
            f'ground truth and complete, fetch or export it again'
        ) from None
    finally:
        if collects:
            gc.enable()

    if not isinstance(data, dict):
        raise DatasetError(
            f'annotation file {ann_file} holds a {type(data).__name__}, not an object with '
            f'images, annotations and categories; check that it is COCO ground truth'
        )
    for key in ('images', 'categories'):
        _check_fields(data, key, _FIELDS[key], ann_file)
    if 'annotations' in data or purpose != 'predict':
        crowd = {'iscrowd': '0 or 1'} if purpose == 'eval' else {}
        _check_fields(data, 'annotations', {**_FIELDS['annotations'], **crowd}, ann_file)
    if not data['images']:
        raise DatasetError(f'annotation file {ann_file} lists no images; export it again')
    return data


def _check_fields(data: dict, key: str, fields: dict[str, str], ann_file: StrPath) -> None:
    if key not in data:
        raise DatasetError(
            f'annotation file {ann_file} has no {key!r}, only {short_repr(sorted(data))}; '
            f'check that it is COCO ground truth'
        )
    items = data[key]
    if not isinstance(items, list):
        raise DatasetError(
            f'{key!r} of annotation file {ann_file} must be a list, but is a '
            f'{type(items).__name__}; export the file again'
        )
    tests = [(name, kind, _KINDS[kind]) for name, kind in fields.items()]
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise DatasetError(
                f'{key}[{index}] of annotation file {ann_file} must be an object, but is '
                f'{short_repr(item)}; correct or remove it'
            )
        for name, kind, is_kind in tests:
            if name not in item:
                raise DatasetError(
                    f'{key}[{index}] of annotation file {ann_file} has no {name!r}, which must '
                    f'be {kind}; add it'
                )
            if not is_kind(item[name]):
                raise DatasetError(
                    f'{key}[{index}] of annotation file {ann_file} has {name} '
                    f'{short_repr(item[name])}, which must be {kind}; correct or remove the entry'
                )
