"""A row of the tables of norms, of activations and of convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import nn

from mmdet_frn.registry import NORM_LAYERS


def _registered(cfg: dict) -> type[nn.Module]:
    """Return the class that a config's ``type`` names, or is."""
    kind = cfg['type']
    return NORM_LAYERS.get(kind) if isinstance(kind, str) else kind


@dataclass(frozen=True)
class Act:
    """An activation.

    Args:
        act_cfg: Config, as for MMCV's ``build_activation_layer``, without a channel count.
        source: Publication, or library that ships it.
    """

    act_cfg: dict
    source: str

    @property
    def label(self) -> str:
        """Name in tables: the registered type."""
        return self.act_cfg['type']

    @cached_property
    def layer(self) -> type[nn.Module]:
        """Class that ``act_cfg`` builds."""
        return _registered(self.act_cfg)


@dataclass(frozen=True)
class Conv:
    """A convolution whose weight is normalised.

    Args:
        label: Name in tables: the registered type.
        source: Publication, or library that ships it.
    """

    label: str
    source: str

    @property
    def conv_cfg(self) -> dict:
        """Config, as for MMCV's ``build_conv_layer``."""
        return {'type': self.label}


@dataclass(frozen=True)
class Norm:
    """A normalisation.

    Args:
        label: Name in tables, with the activation that it goes with.
        norm_cfg: Config, as for MMCV's ``build_norm_layer``. Its ``type`` is the registered name.
        source: Publication, or library that ships it.
        act_cfg: Activation that it goes with. Default ReLU. A norm that contains its activation
            needs one only after a sum.
        uses_batch: Whether an image's output in training depends on the batch around it. Default
            False.
        zero_init: Whether a weight of 0 makes its output 0, as the last norm of a residual block
            may start. Default True.
        model: Other settings of a detector that :func:`use_norm` makes for it. Default none.
    """

    label: str
    norm_cfg: dict
    source: str
    act_cfg: dict = field(default_factory=lambda: {'type': 'ReLU'})
    uses_batch: bool = False
    zero_init: bool = True
    model: dict = field(default_factory=dict)

    @cached_property
    def layer(self) -> type[nn.Module]:
        """Class that ``norm_cfg`` builds."""
        return _registered(self.norm_cfg)
