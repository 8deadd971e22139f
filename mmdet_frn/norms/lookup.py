"""Lookups in the table of norms: a config's row and label, and weight decay."""

from __future__ import annotations

from mmcv.cnn import is_norm
from mmengine.config import Config
from torch import nn

from mmdet_frn.layers import ChannelAffine, Gain

from .row import Norm
from .table import ACTS, NORMS


def add_norm(row: Norm) -> Norm:
    """Add a row for a layer of your own, and return it.

    Raises:
        ValueError: the label is taken.
    """
    if any(row.label == other.label for other in NORMS):
        raise ValueError(f'label {row.label!r} is taken; choose another')
    NORMS.append(row)
    return row


def find_norm(norm_cfg: dict) -> Norm | None:
    """Return the row that describes ``norm_cfg`` most closely; None for an unknown type.

    A row fits if the config has every argument of the row but eps; the one with the most such
    arguments wins, and the first row of that type if none fits. GN with 1 group is LN.
    """

    def fits(row: Norm) -> bool:
        given = {k: norm_cfg.get(k) for k in row.norm_cfg if k not in ('type', 'eps')}
        return all(row.norm_cfg[key] == value for key, value in given.items())

    kind = norm_cfg['type']
    rows = [row for row in NORMS if kind in (row.norm_cfg['type'], row.layer)]
    fitting = [row for row in rows if fits(row)]
    if fitting:
        return max(fitting, key=lambda row: len(row.norm_cfg.keys() - {'eps'}))
    return rows[0] if rows else None


def norm_label(cfg: Config) -> str:
    """Name a detector by its backbone's normalisation, as the rows of the paper's Table 6 do.

    A norm's label stands for the norm with the activation of its row: FRN is FRN with TLU, GN is
    GN with ReLU. Another activation is spelled out, as in 'FRN+ReLU', and so are a convolution with
    a normalised weight, as in 'GN+ConvWS', SkipInit, a normaliser-free backbone, adaptive
    gradient clipping and precise BN. A star marks a pretrained backbone.
    """
    backbone = cfg.model.backbone
    norm_cfg = backbone.get('norm_cfg') or {'type': 'BN'}
    act = _name((backbone.get('act_cfg') or {'type': 'ReLU'})['type'])
    row = find_norm(norm_cfg)
    label = _name(norm_cfg['type']) if row is None else row.label
    if act != ('ReLU' if row is None else row.act_cfg['type']):
        label += f'+{act}'
    conv = _name((backbone.get('conv_cfg') or {'type': 'Conv2d'})['type'])
    if conv not in ('Conv2d', 'Conv'):
        label += f'+{conv}'
    if backbone.get('skip_init'):
        label += '+SkipInit'
    if _name(backbone.get('type', '')) == 'NFResNet':
        label = 'NF-ResNet'
    if 'AGC' in _name((cfg.get('optim_wrapper') or {}).get('type', '')):
        label += '+AGC'
    if any(_name(hook['type']) == 'PreciseBNHook' for hook in cfg.get('custom_hooks') or []):
        label += '+PreciseBN'
    pretrained = (backbone.get('init_cfg') or {}).get('type') == 'Pretrained'
    return f'{label}*' if pretrained else label


def _name(kind: str | type) -> str:
    return kind if isinstance(kind, str) else kind.__name__


def is_in_table(module: nn.Module) -> bool:
    """Return whether ``module`` is a norm or an activation of the table."""
    return isinstance(module, tuple(row.layer for row in [*NORMS, *ACTS]))


def follows_norm_decay(module: nn.Module) -> bool:
    """Return whether ``norm_decay_mult`` should reach ``module`` and MMEngine does not see to it.

    True for the norms and activations of the table but for PyTorch's norms, which MMEngine knows,
    for gains, and for the affine that ``convert`` puts in place of some BNs.
    """
    if isinstance(module, (ChannelAffine, Gain)):
        return True
    return is_in_table(module) and not is_norm(module)
