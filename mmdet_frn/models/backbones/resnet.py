"""MMDetection's ResNet with the activation, like the normalisation, chosen by config."""

from __future__ import annotations

from mmdet.models.backbones.resnet import BasicBlock, Bottleneck, ResNet
from mmdet.models.layers import ResLayer
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmdet_frn.layers import (
    PadMasked,
    PadMaskedMaxPool,
    SkipInit,
    build_act,
    contains_act,
    norm_act,
)

RELU = {'type': 'ReLU'}


def run_block(block: BaseModule, x: Tensor) -> Tensor:
    """Run a residual block, recomputing it in the backward pass where ``with_cp`` asks for it."""
    if block.with_cp and x.requires_grad:
        return checkpoint(block.residual_forward, x, use_reentrant=False)
    return block.residual_forward(x)


class NormActBasicBlock(BasicBlock):
    """BasicBlock with activations of its own after norm1 and after the sum."""

    def __init__(self, inplanes: int, planes: int, *args, act_cfg: dict = RELU, **kwargs) -> None:
        super().__init__(inplanes, planes, *args, **kwargs)
        del self.relu
        self.act1 = build_act(act_cfg, planes, self.norm1)
        self.act2 = build_act(act_cfg, planes, self.norm2, residual=True)

    def residual_forward(self, x: Tensor) -> Tensor:
        """Map x (N, inplanes, H, W) to (N, planes, H', W')."""
        out = self.conv2(norm_act(self.conv1(x), self.norm1, self.act1))
        identity = x if self.downsample is None else self.downsample(x)
        return norm_act(out, self.norm2, self.act2, residual=identity)

    forward = run_block


class NormActBottleneck(Bottleneck):
    """Bottleneck with activations of its own after norm1, norm2 and after the sum."""

    def __init__(self, inplanes: int, planes: int, *args, act_cfg: dict = RELU, **kwargs) -> None:
        super().__init__(inplanes, planes, *args, **kwargs)
        del self.relu
        self.act1 = build_act(act_cfg, planes, self.norm1)
        self.act2 = build_act(act_cfg, planes, self.norm2)
        self.act3 = build_act(act_cfg, planes * self.expansion, self.norm3, residual=True)

    def residual_forward(self, x: Tensor) -> Tensor:
        """Map x (N, inplanes, H, W) to (N, 4 * planes, H', W')."""
        out = norm_act(self.conv1(x), self.norm1, self.act1)
        if self.with_plugins:
            out = self.forward_plugin(out, self.after_conv1_plugin_names)
        out = norm_act(self.conv2(out), self.norm2, self.act2)
        if self.with_plugins:
            out = self.forward_plugin(out, self.after_conv2_plugin_names)
        out = self.conv3(out)
        plugins = self.after_conv3_plugin_names if self.with_plugins else []
        if plugins:
            out = self.forward_plugin(self.norm3(out), plugins)
        identity = x if self.downsample is None else self.downsample(x)
        if plugins:
            return self.act3(out + identity)
        return norm_act(out, self.norm3, self.act3, residual=identity)

    forward = run_block


@MODELS.register_module()
class NormActResNet(ResNet):
    """MMDetection's ResNet in which ``norm_cfg`` and ``act_cfg`` decide every norm and activation.

    A norm stands after every convolution and an activation after the stem, after each convolution
    but the last of a block, and after each sum, where MMDetection has ReLU. With BN and ReLU this
    is MMDetection's ResNet to the bit, state dict included. With FRN and TLU every TLU has its own
    tau, the block's last FRN and the shortcut's have none (as in Wu's reproduction,
    github.com/ppwwyyxx/FRN-on-common-ImageNet-baseline).

    Args:
        depth: 18, 34, 50, 101 or 152.
        act_cfg: Config of the activations; a TLU's ``num_features`` is filled in. Default ReLU.
        skip_init: Multiply each block's last norm by a learned number, 0 at first (SkipInit); with
            the norm ``NoNorm`` that is De and Smith's network without norms. Default False.
        kwargs: All others of MMDetection's ResNet, ``norm_cfg`` and ``init_cfg`` among them.
    """

    arch_settings = {
        depth: (NormActBasicBlock if block is BasicBlock else NormActBottleneck, stages)
        for depth, (block, stages) in ResNet.arch_settings.items()
    }

    def __init__(
        self, depth: int, *, act_cfg: dict = RELU, skip_init: bool = False, **kwargs
    ) -> None:
        self.act_cfg = act_cfg
        self.skip_init = skip_init
        self._default_init = not (kwargs.get('init_cfg') or kwargs.get('pretrained'))
        super().__init__(depth, **kwargs)

    def make_res_layer(self, **kwargs) -> ResLayer:
        """Build a stage, with the zero-initialised last norm that MMDetection gives its blocks."""
        if self._default_init and self.zero_init_residual:
            last = 'norm2' if self.block is NormActBasicBlock else 'norm3'
            kwargs['init_cfg'] = {'type': 'Constant', 'val': 0, 'override': {'name': last}}
        layer = super().make_res_layer(act_cfg=self.act_cfg, **kwargs)
        for block in layer:
            if block.downsample is not None and contains_act(block.downsample[-1]):
                block.downsample[-1].remove_act()
            if self.skip_init:
                last = block.norm2_name if isinstance(block, BasicBlock) else block.norm3_name
                setattr(block, last, SkipInit(getattr(block, last)))
        return layer

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        if self.deep_stem:
            for i, channels in (
                (2, stem_channels // 2),
                (5, stem_channels // 2),
                (8, stem_channels),
            ):
                self.stem[i] = build_act(self.act_cfg, channels, self.stem[i - 1])
        else:
            del self.relu
            self.act1 = build_act(self.act_cfg, stem_channels, self.norm1)
        if isinstance(self.stem[-2] if self.deep_stem else self.norm1, PadMasked):
            self.maxpool = PadMaskedMaxPool(kernel_size=3, stride=2, padding=1)

    def _freeze_stages(self) -> None:
        super()._freeze_stages()
        if self.frozen_stages >= 0 and not self.deep_stem:
            self.act1.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of ``out_indices`` for images x (N, in_channels, H, W)."""
        if self.deep_stem:
            for conv, norm, act in zip(
                self.stem[::3], self.stem[1::3], self.stem[2::3], strict=True
            ):
                x = norm_act(conv(x), norm, act)
        else:
            x = norm_act(self.conv1(x), self.norm1, self.act1)
        x = self.maxpool(x)
        outs = []
        for i, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)
