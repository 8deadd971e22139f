"""Convolutions with weight norm or spectral norm: PyTorch's parametrizations as conv types."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmengine.model import kaiming_init
from torch import nn
from torch.nn.utils import parametrizations
from typing_extensions import Self

from mmdet_frn.registry import CONV_LAYERS


class _ParametrizedConv(nn.Conv2d):
    """Conv2d whose ``weight`` PyTorch computes from other parameters, initialised like any other.

    MMEngine's initialisers find Conv2d by the name of the class and write to ``weight`` in place,
    which changes nothing where it is computed. They come through :meth:`apply`, which gives them a
    plain Conv2d and takes over its weight. MMCV's ConvModule initialises every convolution without
    ``init_weights`` directly; hence the constructor does what ConvModule would.
    """

    # MMEngine's init_weights passes over modules with this.
    is_init = True

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        kaiming_init(self)

    def init_weights(self) -> None:
        """Do nothing: the constructor has initialised the weight."""

    @torch.no_grad()
    def apply(self, fn: Callable[[nn.Module], None]) -> Self:
        """Call ``fn`` on a Conv2d with this weight and bias, and keep what it makes of them."""
        names = (
            *('in_channels', 'out_channels', 'kernel_size', 'stride', 'padding'),
            *('dilation', 'groups', 'padding_mode'),
        )
        options = {name: getattr(self, name) for name in names}
        plain = nn.Conv2d(**options, bias=self.bias is not None, device='meta')
        plain.weight, plain.bias = nn.Parameter(self.weight.clone()), self.bias
        fn(plain)
        self.weight = plain.weight.detach()
        return self


@CONV_LAYERS.register_module()
class WeightNormConv(_ParametrizedConv):
    """Conv2d with the weight g * v / |v|, norms over each output channel.

    g (C_out, 1, 1, 1) and v are the parameters; g starts at |v|. Source: Salimans and Kingma,
    NeurIPS 2016; ``torch.nn.utils.parametrizations.weight_norm``, which names the parameters.

    Args:
        args, kwargs: As for ``nn.Conv2d``.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        parametrizations.weight_norm(self)


@CONV_LAYERS.register_module()
class SpectralNormConv(_ParametrizedConv):
    """Conv2d with the weight w / sigma, sigma the largest singular value of w as (C_out, rest).

    sigma is estimated by one step of power iteration in each forward pass in training. Source:
    Miyato et al., ICLR 2018; ``torch.nn.utils.parametrizations.spectral_norm``.

    Args:
        n_power_iterations: Steps in a forward pass. Default 1, the source's.
        args, kwargs: As for ``nn.Conv2d``.
    """

    def __init__(self, *args, n_power_iterations: int = 1, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        parametrizations.spectral_norm(self, n_power_iterations=n_power_iterations)

    @torch.no_grad()
    def apply(self, fn: Callable[[nn.Module], None]) -> Self:
        """As the base class; then estimate sigma of the new weight as PyTorch does at the start."""
        super().apply(fn)
        norm = self.get_submodule('parametrizations.weight.0')
        was_training = norm.training
        norm.train()
        for _ in range(15):
            norm(self.get_parameter('parametrizations.weight.original'))
        norm.train(was_training)
        return self
