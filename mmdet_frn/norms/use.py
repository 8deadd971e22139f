"""The norm of a detector in one line of a config."""

from __future__ import annotations

import copy

from .table import NORMS


def use_norm(label: str, act: dict | None = None, *, neck_act: bool = True, **norm_args) -> dict:
    """Return the ``model`` settings that put a norm of the table into backbone, neck and head.

    In a config, after ``_base_``::

        from mmdet_frn.norms import use_norm

        model = use_norm('GN')                        # the row's norm and activation
        model = use_norm('GN', dict(type='TLU'))      # another activation
        model = use_norm('BN', momentum=0.003)        # other arguments of the norm

    The settings replace those that the base names. The base must name ``norm_cfg`` and ``act_cfg``
    in ``backbone``, ``neck`` and ``bbox_head``, as all of this project do.

    Args:
        label: Label of the row.
        act: Config of the activation. Default that of the row.
        neck_act: Whether the neck gets the activation too; otherwise its own setting stays.
            Default True.
        norm_args: Arguments of the norm, in addition to the row's or in place of them.

    Raises:
        ValueError: no row has that label.
    """
    row = next((row for row in NORMS if row.label == label), None)
    if row is None:
        raise ValueError(f'no norm has the label {label!r}; known: {[r.label for r in NORMS]}')
    norm_cfg = {'_delete_': True, **row.norm_cfg, **norm_args}
    act_cfg = {'_delete_': True, **(act or row.act_cfg)}
    both = {'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
    parts = {'backbone': both, 'neck': both if neck_act else {'norm_cfg': norm_cfg}}
    return copy.deepcopy({**parts, 'bbox_head': both})
