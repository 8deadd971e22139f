"""Normaliser-free ResNet (Brock et al., ICLR 2021)."""

from __future__ import annotations

import math

from mmdet.models.backbones.resnet import BasicBlock, Bottleneck, ResNet
from mmdet.models.layers import ResLayer
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdet_frn.layers import SkipInit, build_activation, norm_act

from .resnet import RELU, run_block


class _NFBlock(BaseModule):
    """What both blocks share: x + alpha * gain * branch(act(x / beta)), gain 0 at first.

    ``beta`` is the deviation that x has by construction, which the stage sets.
    """

    beta = 1.0

    def _add_parts(self, act_cfg: dict, alpha: float, widths: tuple[int, ...]) -> None:
        del self.relu
        self.alpha = alpha
        for i, channels in enumerate(widths, 1):
            self.add_module(f'act{i}', build_activation(act_cfg, channels))
        self.skip_init = SkipInit()

    def residual_forward(self, x: Tensor) -> Tensor:
        """Map x (N, inplanes, H, W) to (N, planes * expansion, H', W')."""
        out = self.act1(x / self.beta)
        # Where the shape changes, the shortcut too starts from the activation, of variance 1.
        identity = x if self.downsample is None else self.downsample(out)
        return identity + self.alpha * self.skip_init(self.branch(out))

    forward = run_block


class NFBasicBlock(_NFBlock, BasicBlock):
    """MMDetection's BasicBlock with activations before the convolutions, scaled as above."""

    def __init__(
        self, inplanes: int, planes: int, *args, act_cfg: dict = RELU, alpha: float = 0.2, **kwargs
    ) -> None:
        super().__init__(inplanes, planes, *args, **kwargs)
        self._add_parts(act_cfg, alpha, (inplanes, planes))

    def branch(self, x: Tensor) -> Tensor:
        """Return what is added to the shortcut, before its factors."""
        x = norm_act(self.conv1(x), self.norm1, self.act2)
        return self.norm2(self.conv2(x))


class NFBottleneck(_NFBlock, Bottleneck):
    """MMDetection's Bottleneck with activations before the convolutions, scaled as above."""

    def __init__(
        self, inplanes: int, planes: int, *args, act_cfg: dict = RELU, alpha: float = 0.2, **kwargs
    ) -> None:
        super().__init__(inplanes, planes, *args, **kwargs)
        self._add_parts(act_cfg, alpha, (inplanes, planes, planes))

    def branch(self, x: Tensor) -> Tensor:
        """Return what is added to the shortcut, before its factors."""
        x = norm_act(self.conv1(x), self.norm1, self.act2)
        x = norm_act(self.conv2(x), self.norm2, self.act3)
        return self.norm3(self.conv3(x))


@MODELS.register_module()
class NFResNet(ResNet):
    """Normaliser-free pre-activation ResNet.

    No statistics of activations: convolutions with scaled weight standardisation keep a variance of
    1, a block adds ``alpha`` times its branch and so alpha^2 to the variance, and the next divides
    by the deviation that follows, beta = sqrt(1 + i alpha^2). A block that changes the shape starts
    at 1 again. SkipInit's gain, 0 at first, multiplies each branch. Source: Brock et al. 2021,
    "Characterizing signal propagation to close the performance gap in unnormalized ResNets".

    The maps returned are what the next stage would see: divided by beta and activated.

    Args:
        depth: 18, 34, 50, 101 or 152.
        alpha: Default 0.2, the source's.
        act_cfg: Activation; its scale belongs into the convolution's ``gamma``. Default ReLU.
        conv_cfg: Default ``ScaledWSConv``, with ReLU's gamma.
        norm_cfg: Default ``NoNorm``, the bias of each convolution.
        kwargs: All others of MMDetection's ResNet but plugins; ``zero_init_residual`` is ignored.

    Raises:
        ValueError: plugins are given.
    """

    arch_settings = {
        depth: (NFBasicBlock if block is BasicBlock else NFBottleneck, stages)
        for depth, (block, stages) in ResNet.arch_settings.items()
    }

    def __init__(
        self,
        depth: int,
        *,
        alpha: float = 0.2,
        act_cfg: dict = RELU,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        if kwargs.get('plugins'):
            raise ValueError('NFResNet takes no plugins; use NormActResNet')
        self.act_cfg = act_cfg
        self.alpha = alpha
        self._betas: list[float] = []
        conv_cfg = conv_cfg or {'type': 'ScaledWSConv'}
        norm_cfg = norm_cfg or {'type': 'NoNorm'}
        super().__init__(depth, conv_cfg=conv_cfg, norm_cfg=norm_cfg, **kwargs)
        widths = [self.base_channels * 2**i * self.block.expansion for i in self.out_indices]
        self.out_acts = nn.ModuleList(build_activation(act_cfg, width) for width in widths)

    def make_res_layer(self, **kwargs) -> ResLayer:
        """Build a stage whose blocks know the deviation of their input."""
        kwargs['init_cfg'] = None
        layer = super().make_res_layer(act_cfg=self.act_cfg, alpha=self.alpha, **kwargs)
        variance = self._betas[-1] ** 2 if self._betas else 1.0
        for block in layer:
            block.beta = math.sqrt(variance)
            variance = (1.0 if block.downsample is not None else variance) + self.alpha**2
        self._betas.append(math.sqrt(variance))
        return layer

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        # The first block activates what the stem returns.
        if self.deep_stem:
            self.stem[2] = build_activation(self.act_cfg, stem_channels // 2)
            self.stem[5] = build_activation(self.act_cfg, stem_channels // 2)
            self.stem[8] = nn.Identity()
        else:
            del self.relu

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of ``out_indices`` for images x (N, in_channels, H, W)."""
        x = self.stem(x) if self.deep_stem else self.norm1(self.conv1(x))
        x = self.maxpool(x)
        outs: list[Tensor] = []
        for i, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                outs.append(self.out_acts[len(outs)](x / self._betas[i]))
        return tuple(outs)
