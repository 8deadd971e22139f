"""The norm of a detector in one line of a config."""

from __future__ import annotations

import copy
from typing import TypeVar

from .row import Act, Norm
from .table import ACTS, NORMS

_Row = TypeVar('_Row', Norm, Act)


def use_norm(
    label: str,
    act: str | dict | None = None,
    *,
    conv: dict | None = None,
    neck_act: bool = True,
    **norm_args,
) -> dict:
    """Return the ``model`` settings that put a norm of the table into backbone, neck and head.

    In a config, after ``_base_``::

        from mmdet_frn.norms import use_norm

        model = use_norm('GN')                                # the row's norm and activation
        model = use_norm('GN', 'TLU')                         # another activation
        model = use_norm('GN', conv=dict(type='ConvWS'))      # other convolutions
        model = use_norm('BN', momentum=0.003)                # other arguments of the norm

    The settings replace those that the base names. The base must name ``norm_cfg`` and ``act_cfg``
    in ``backbone``, ``neck`` and ``bbox_head``, as all of this project do.

    Args:
        label: Label of the row.
        act: Label of an activation of the table, or a config. Default the row's activation.
        conv: ``conv_cfg`` of all convolutions of the three parts that have one. Default None.
        neck_act: Whether the neck gets the activation too; otherwise its own setting stays.
            Default True.
        norm_args: Arguments of the norm, in addition to the row's or in place of them.

    Raises:
        ValueError: no row has that label.
    """
    row = _row(NORMS, 'norm', label)
    if isinstance(act, str):
        act = _row(ACTS, 'activation', act).act_cfg
    norm = {'norm_cfg': {'_delete_': True, **row.norm_cfg, **norm_args}}
    if conv is not None:
        norm['conv_cfg'] = conv
    both = {**norm, 'act_cfg': {'_delete_': True, **(act or row.act_cfg)}}
    parts = {'backbone': both, 'neck': both if neck_act else norm, 'bbox_head': both}
    parts |= {name: {**part, **parts.get(name, {})} for name, part in row.model.items()}
    # Apart from each other: MMEngine takes `_delete_` out of the dict that it has merged.
    return {name: copy.deepcopy(part) for name, part in parts.items()}


def _row(table: list[_Row], kind: str, label: str) -> _Row:
    for row in table:
        if row.label == label:
            return row
    raise ValueError(f'no {kind} has the label {label!r}; known: {[row.label for row in table]}')
