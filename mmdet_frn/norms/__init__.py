"""The tables of norms, activations and convolutions, and what is read from them.

    from mmdet_frn.norms import NORMS, Norm, add_norm, find_norm, norm_label, use_norm

A new norm is a layer, a row of :mod:`.table` and a line in docs/norms.md (docs/contributing.md).
"""

from .lookup import add_norm, find_norm, follows_norm_decay, is_in_table, norm_label
from .row import Act, Conv, Norm
from .table import ACTS, CONVS, NORMS
from .use import use_norm

__all__ = [
    'ACTS',
    'CONVS',
    'NORMS',
    'Act',
    'Conv',
    'Norm',
    'add_norm',
    'find_norm',
    'follows_norm_decay',
    'is_in_table',
    'norm_label',
    'use_norm',
]
