"""A row of the tables of norms, of activations and of convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn


@dataclass(frozen=True)
class Act:
    """An activation.

    Args:
        layer: Class that ``act_cfg`` builds.
        act_cfg: Config, as for MMCV's ``build_activation_layer``, without a channel count.
        source: Publication, or library that ships it.
    """

    layer: type[nn.Module]
    act_cfg: dict
    source: str

    @property
    def label(self) -> str:
        """Name in tables: the registered type."""
        return self.act_cfg['type']


@dataclass(frozen=True)
class Conv:
    """A convolution whose weight is normalised.

    Args:
        layer: Class that ``conv_cfg`` builds.
        conv_cfg: Config, as for MMCV's ``build_conv_layer``.
        source: Publication, or library that ships it.
    """

    layer: type[nn.Module]
    conv_cfg: dict
    source: str

    @property
    def label(self) -> str:
        """Name in tables: the registered type."""
        return self.conv_cfg['type']


@dataclass(frozen=True)
class Norm:
    """A normalisation.

    Args:
        label: Name in tables, with the activation that it goes with.
        layer: Class that ``norm_cfg`` builds.
        norm_cfg: Config, as for MMCV's ``build_norm_layer``. Its ``type`` is the registered name.
        uses_batch: Whether an image's output in training depends on the batch around it.
        source: Publication, or library that ships it.
        act_cfg: Activation that it goes with. Default ReLU. A norm that contains its activation
            needs one only after a sum.
        zero_init: Whether a weight of 0 makes its output 0, as the last norm of a residual block
            may start. Default True.
        model: Other settings of a detector that :func:`use_norm` makes for it. Default none.
    """

    label: str
    layer: type[nn.Module]
    norm_cfg: dict
    uses_batch: bool
    source: str
    act_cfg: dict = field(default_factory=lambda: {'type': 'ReLU'})
    zero_init: bool = True
    model: dict = field(default_factory=dict)
