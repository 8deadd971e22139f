"""FRN and TLU in MMCV's ConvModule, directly and inside MMDetection's components."""

import pytest
import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmdet.models.backbones import CSPDarknet, CSPNeXt, Darknet
from mmdet.models.dense_heads import ATSSHead, FCOSHead, RetinaHead, YOLOXHead
from mmdet.models.necks import FPN, NASFPN, PAFPN, YOLOXPAFPN
from mmdet.models.roi_heads.bbox_heads import Shared4Conv1FCBBoxHead
from mmengine.registry import init_default_scope
from torch import nn

from mmdet_frn.layers import FRN, TLU

NORM = {'type': 'FRN', 'eps': 1e-6}
ACT = {'type': 'TLU'}


@pytest.mark.parametrize(
    ('order', 'norm', 'act'),
    [
        (('conv', 'norm', 'act'), 8, 8),
        (('norm', 'act', 'conv'), 3, 3),
        (('act', 'conv', 'norm'), 8, 3),
        (('norm', 'conv', 'act'), 3, 8),
    ],
)
def test_channels_follow_the_order(order, norm, act):
    module = ConvModule(3, 8, 3, norm_cfg=NORM, act_cfg=ACT, order=order)
    assert module.norm.num_features == norm
    assert module.activate.num_features == act
    assert module(torch.randn(2, 3, 6, 6)).shape == (2, 8, 4, 4)


@pytest.mark.parametrize('order', [('conv', 'norm', 'act'), ('norm', 'act', 'conv')])
def test_frn_with_tlu_in_one_op_is_the_two_layers_in_turn(order):
    torch.manual_seed(0)
    module = ConvModule(4, 4, 3, norm_cfg=NORM, act_cfg=ACT, order=order)
    for p in (module.norm.weight, module.norm.bias, module.activate.tau):
        nn.init.normal_(p)
    x = torch.randn(2, 4, 6, 6)
    layers = {'conv': module.conv, 'norm': module.norm, 'act': module.activate}
    expected = x
    for layer in order:
        expected = layers[layer](expected)
    torch.testing.assert_close(module(x), expected)


def test_activate_and_norm_can_be_left_out_of_a_call():
    module = ConvModule(3, 8, 3, norm_cfg=NORM, act_cfg=ACT)
    x = torch.randn(2, 3, 6, 6)
    assert torch.equal(module(x, activate=False), module.norm(module.conv(x)))
    assert torch.equal(module(x, norm=False), module.activate(module.conv(x)))


def test_positional_arguments_and_the_class_itself_as_type():
    module = ConvModule(3, 8, 1, 1, 0, 1, 1, 'auto', None, {'type': FRN}, {'type': TLU})
    assert module.activate.num_features == 8


def test_a_count_that_the_user_names_is_kept_and_the_config_left_alone():
    act_cfg = {'type': 'TLU', 'num_features': 5}
    assert ConvModule(3, 8, 1, act_cfg=act_cfg).activate.num_features == 5
    shared = {'type': 'TLU'}
    ConvModule(3, 8, 1, act_cfg=shared)
    assert shared == {'type': 'TLU'}


def test_other_activations_are_untouched():
    assert ConvModule(3, 8, 1, act_cfg={'type': 'ReLU'}).activate.inplace
    assert not ConvModule(3, 8, 1, act_cfg=None).with_activation
    assert isinstance(ConvModule(3, 8, 1, act_cfg={'type': 'Tanh'}).activate, nn.Tanh)


def test_depthwise_separable_module_sizes_both_activations():
    module = DepthwiseSeparableConvModule(4, 6, 3, norm_cfg=NORM, act_cfg=ACT)
    assert module.depthwise_conv.activate.num_features == 4
    assert module.pointwise_conv.activate.num_features == 6


@pytest.fixture
def _mmdet_scope():
    """Build as within MMDetection, whatever Runner another test may have left behind."""
    init_default_scope('mmdet')


COMPONENTS = {
    'Darknet': lambda: Darknet(norm_cfg=NORM, act_cfg=ACT),
    'CSPDarknet': lambda: CSPDarknet(widen_factor=0.125, norm_cfg=NORM, act_cfg=ACT),
    'CSPNeXt': lambda: CSPNeXt(widen_factor=0.125, norm_cfg=NORM, act_cfg=ACT),
    'FPN': lambda: FPN([8, 16], 8, 3, norm_cfg=NORM, act_cfg=ACT),
    'PAFPN': lambda: PAFPN([8, 16], 8, 3, norm_cfg=NORM, act_cfg=ACT),
    'NASFPN': lambda: NASFPN([8, 8, 8, 8], 8, 5, 1, norm_cfg=NORM),
    'YOLOXPAFPN': lambda: YOLOXPAFPN([8, 16, 32], 8, norm_cfg=NORM, act_cfg=ACT),
    'YOLOXHead': lambda: YOLOXHead(3, 8, feat_channels=8, norm_cfg=NORM, act_cfg=ACT),
    'RetinaHead': lambda: RetinaHead(3, 8, feat_channels=8, norm_cfg=NORM),
    'FCOSHead': lambda: FCOSHead(3, 8, feat_channels=8, norm_cfg=NORM),
    'ATSSHead': lambda: ATSSHead(
        3,
        8,
        feat_channels=8,
        norm_cfg=NORM,
        anchor_generator={
            'type': 'AnchorGenerator',
            'ratios': [1.0],
            'octave_base_scale': 8,
            'scales_per_octave': 1,
            'strides': [8, 16, 32, 64, 128],
        },
    ),
    'BBoxHead': lambda: Shared4Conv1FCBBoxHead(norm_cfg=NORM, num_classes=3, in_channels=8),
}


@pytest.mark.usefixtures('_mmdet_scope')
@pytest.mark.parametrize('name', COMPONENTS)
def test_components_of_mmdetection_build_with_frn_and_no_lazy_parameter(name):
    module = COMPONENTS[name]()
    norms = [m for m in module.modules() if isinstance(m, FRN)]
    assert norms
    assert {m.eps for m in norms} == {1e-6}
    assert not any(isinstance(p, nn.parameter.UninitializedParameter) for p in module.parameters())


@pytest.mark.usefixtures('_mmdet_scope')
@pytest.mark.parametrize('name', ['CSPDarknet', 'FPN', 'YOLOXPAFPN'])
def test_every_parameter_of_a_component_gets_a_gradient(name):
    torch.manual_seed(0)
    module = COMPONENTS[name]()
    assert any(isinstance(m, TLU) for m in module.modules())
    inputs = {
        'CSPDarknet': torch.randn(2, 3, 64, 64),
        'FPN': [torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)],
        'YOLOXPAFPN': [torch.randn(2, c, s, s) for c, s in ((8, 8), (16, 4), (32, 2))],
    }[name]
    sum((out * torch.randn_like(out)).sum() for out in module(inputs)).backward()
    assert [n for n, p in module.named_parameters() if p.grad is None] == []
