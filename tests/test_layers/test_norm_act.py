"""Norm and activation as one step, for any pair."""

import pytest
import torch
from mmcv.cnn import build_norm_layer
from torch import nn
from torch.profiler import ProfilerActivity, profile

from mmdet_frn.layers import build_activation, norm_act
from mmdet_frn.layers.group_norm import forward_act
from mmdet_frn.ops.library import has_op

NORMS = {
    'BN': {'type': 'BN'},
    'GN': {'type': 'GN', 'num_groups': 2},
    'IN': {'type': 'IN', 'affine': True},
    'FRN': {'type': 'FRN'},
}


@pytest.mark.parametrize('with_residual', [False, True])
@pytest.mark.parametrize('act', ['ReLU', 'TLU', 'SiLU'])
@pytest.mark.parametrize('norm', NORMS)
def test_any_pair_is_the_layers_in_turn(norm, act, with_residual):
    torch.manual_seed(0)
    norm = build_norm_layer(NORMS[norm], 4)[1]
    act = build_activation({'type': act}, 4)
    for p in [*norm.parameters(), *act.parameters()]:
        nn.init.normal_(p)
    x = torch.randn(2, 4, 5, 5)
    residual = torch.randn(2, 4, 5, 5) if with_residual else None
    normed = norm(x.clone())
    expected = act(normed + residual if with_residual else normed)
    torch.testing.assert_close(norm_act(x.clone(), norm, act, residual), expected)


@pytest.mark.parametrize('act', ['ReLU', 'TLU'])
def test_hooks_fire_although_group_norm_and_activation_are_one_op(act):
    norm, act = build_norm_layer(NORMS['GN'], 4)[1], build_activation({'type': act}, 4)
    for module in (norm, act):
        seen = []
        handle = module.register_forward_hook(lambda *args, seen=seen: seen.append(args))
        norm_act(torch.randn(2, 4, 5, 5), norm, act)
        handle.remove()
        assert len(seen) == 1


@pytest.mark.skipif(not has_op('group_norm'), reason='compiled library without the op')
@pytest.mark.parametrize(('norm', 'act', 'grad', 'fused'), [
    ('GN', 'TLU', True, True), ('GN', 'TLU', False, True),
    ('GN', 'ReLU', True, True), ('GN', 'ReLU', False, False),
    ('IN', 'TLU', True, True), ('IN', 'ReLU', False, True),
])  # fmt: skip
def test_norms_over_groups_are_fused_where_that_is_faster(norm, act, grad, fused):
    norm, act = build_norm_layer(NORMS[norm], 4)[1], build_activation({'type': act}, 4)
    x = torch.randn(2, 4, 5, 5)
    with (
        torch.set_grad_enabled(grad),
        profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen,
    ):
        norm_act(x, norm, act)
    assert (
        'mmdet_frn::group_norm_forward' in {event.key for event in seen.key_averages()}
    ) == fused


def test_only_a_cpu_was_timed_so_other_devices_keep_pytorchs():
    norm, act = build_norm_layer(NORMS['GN'], 4)[1], build_activation({'type': 'ReLU'}, 4)
    x = torch.ones(2, 4, 5, 5, requires_grad=True)
    assert forward_act(x, norm, act) is not None or not has_op('group_norm')
    assert forward_act(x.to('meta'), norm.to('meta'), act) is None


def test_instance_norm_that_is_not_fused():
    x, tlu = torch.randn(2, 4, 5, 5), build_activation({'type': 'TLU'}, 4)
    tracking = nn.InstanceNorm2d(4, affine=True, track_running_stats=True).eval()
    torch.testing.assert_close(norm_act(x, tracking, tlu), tlu(tracking(x)))
    norm = nn.InstanceNorm2d(4, affine=True)
    with pytest.raises(ValueError, match='more than 1 spatial element'):
        norm_act(x[..., :1, :1], norm, tlu)


def test_activations_are_in_place_where_their_class_can_be():
    assert build_activation({'type': 'ReLU'}, 4).inplace
    assert not build_activation({'type': 'ReLU', 'inplace': False}, 4).inplace
    assert isinstance(build_activation({'type': 'Sigmoid'}, 4), nn.Sigmoid)
    assert build_activation({'type': 'TLU'}, 4).num_features == 4


def test_residual_of_another_shape_is_refused():
    norm, act = build_norm_layer({'type': 'FRN'}, 4)[1], build_activation({'type': 'TLU'}, 4)
    with pytest.raises(ValueError, match='residual must have the shape and dtype of x'):
        norm_act(torch.randn(2, 4, 5, 5), norm, act, torch.randn(2, 4, 1, 1))
