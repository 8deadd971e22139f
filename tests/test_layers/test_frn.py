"""The FRN layer: its parameters, MMCV's builder, and its numbers against equations in fp64."""

import copy

import numpy as np
import pytest
import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import constant_init
from torch import nn

from mmdet_frn.layers import FRN, TLU


def frn_fp64(x, weight, bias, eps):
    """Equations (1) and (2) element by element in numpy's float64."""
    weight, bias = weight.detach(), bias.detach()
    x = x.detach().double().numpy()
    out = np.empty_like(x)
    for n, c in np.ndindex(x.shape[:2]):
        row = x[n, c]
        nu2 = np.sum(row * row) / row.size
        out[n, c] = float(weight[c]) * row / np.sqrt(nu2 + abs(eps)) + float(bias[c])
    return torch.from_numpy(out)


@pytest.mark.parametrize('shape', [(3, 4), (2, 4, 9), (2, 4, 7, 5), (2, 4, 3, 2, 5), (2, 4, 1, 1)])
def test_layer_computes_equations_1_and_2(shape):
    torch.manual_seed(0)
    layer = FRN(4)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = 3 * torch.randn(shape)
    expected = frn_fp64(x, layer.weight, layer.bias, 1e-6)
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-5, atol=1e-6)


def test_parameters_start_as_in_the_paper():
    layer = FRN(5)
    assert dict(layer.named_parameters()).keys() == {'weight', 'bias'}
    assert torch.equal(layer.weight, torch.ones(5))
    assert torch.equal(layer.bias, torch.zeros(5))
    assert layer.eps == 1e-6


def test_builder_gives_the_papers_eps_when_none_is_named():
    name, layer = build_norm_layer({'type': 'FRN'}, 8, postfix=3)
    assert name == 'frn3'
    assert (type(layer), layer.num_features, layer.eps) == (FRN, 8, 1e-6)


@pytest.mark.parametrize('eps', [1e-5, 1e-6, 1e-12, 1e-3])
def test_builder_keeps_an_eps_that_is_named(eps):
    assert build_norm_layer({'type': 'FRN', 'eps': eps}, 8)[1].eps == eps


def test_builder_keeps_a_named_1e_5_from_a_config_file(tmp_path):
    from mmengine.config import Config

    (tmp_path / 'a.py').write_text("norm_cfg = dict(type='FRN', eps=1e-5)\n")
    cfg = copy.deepcopy(Config.fromfile(tmp_path / 'a.py').norm_cfg)
    assert build_norm_layer(cfg, 8)[1].eps == 1e-5


def test_builder_passes_the_other_arguments():
    layer = build_norm_layer({'type': 'FRN', 'learnable_eps': True, 'requires_grad': False}, 8)[1]
    assert layer.learnable_eps
    assert not any(p.requires_grad for p in layer.parameters())


@pytest.mark.parametrize(
    ('eps_form', 'value', 'grad'), [('abs', 1e-4, 1.0), ('exp', np.log(1e-4), 1e-4)]
)
def test_learned_eps_starts_at_1e_4_and_has_its_forms_gradient(eps_form, value, grad):
    layer = FRN(3, learnable_eps=True, eps_form=eps_form)
    assert layer.eps_l.item() == pytest.approx(value)
    total = layer.total_eps()
    assert total.item() == pytest.approx(1e-6 + 1e-4, rel=1e-5)
    total.sum().backward()
    assert layer.eps_l.grad.item() == pytest.approx(grad, rel=1e-5)


@pytest.mark.parametrize('eps_form', ['abs', 'exp'])
def test_learned_eps_is_used_trained_saved_and_moved(eps_form, tmp_path):
    torch.manual_seed(0)
    layer = FRN(3, learnable_eps=True, eps_form=eps_form)
    x = torch.randn(4, 3) * 0.01
    expected = frn_fp64(x, layer.weight, layer.bias, 1e-6 + 1e-4)
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-5, atol=1e-6)

    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-5)
    layer(x).abs().sum().backward()
    before = layer.eps_l.detach().clone()
    optimizer.step()
    assert not torch.equal(layer.eps_l, before)

    torch.save(layer.state_dict(), tmp_path / 'frn.pth')
    other = FRN(3, learnable_eps=True, eps_form=eps_form)
    other.load_state_dict(torch.load(tmp_path / 'frn.pth'))
    assert torch.equal(other.eps_l, layer.eps_l)
    assert other.to('meta').eps_l.device.type == 'meta'
    assert layer.half().total_eps().item() == pytest.approx(layer.total_eps().item())


@pytest.mark.parametrize('eps_per_channel', [False, True])
@pytest.mark.parametrize('eps_form', ['abs', 'exp'])
@pytest.mark.parametrize('spatial', [(), (1,), (1, 1), (1, 1, 1)])
def test_after_a_fully_connected_layer_and_on_1x1_maps(spatial, eps_form, eps_per_channel):
    """Where FRN is x / sqrt(x^2 + eps), against PyTorch's autograd of that."""
    torch.manual_seed(0)
    layer = FRN(5, learnable_eps=True, eps_form=eps_form, eps_per_channel=eps_per_channel)
    assert layer.eps_l.numel() == (5 if eps_per_channel else 1)
    layer, linear = layer.double(), nn.Linear(3, 5).double()
    nn.init.normal_(layer.weight)
    with torch.no_grad():
        layer.eps_l.add_(torch.randn_like(layer.eps_l))
    image = torch.randn(4, 3).double()
    params = [*linear.parameters(), *layer.parameters()]

    def by_torch(x):
        learned = layer.eps_l.exp() if eps_form == 'exp' else layer.eps_l.abs()
        return layer.weight * x / (x.square() + 1e-6 + learned).sqrt() + layer.bias

    results = []
    for function in (lambda x: layer(x.view(4, 5, *spatial)).view(4, 5), by_torch):
        out = function(linear(image))
        dz = torch.linspace(-1, 1, out.numel()).view_as(out).double()
        results.append((out, *torch.autograd.grad(out, params, dz)))
    torch.testing.assert_close(*results)


def test_without_a_learned_eps_it_is_nearly_a_sign_function_there():
    x = torch.tensor([[-3.0, -0.1, 0.1, 50.0]])
    torch.testing.assert_close(FRN(4)(x), x.sign(), rtol=1e-3, atol=0)
    assert FRN(4, learnable_eps=True, eps_init=1.0)(x).abs().max() > 0.99
    assert FRN(4, learnable_eps=True, eps_init=1.0)(x).abs().min() < 0.11


def test_an_eps_per_channel_is_a_learned_one():
    with pytest.raises(ValueError, match='eps_per_channel needs learnable_eps=True'):
        FRN(4, eps_per_channel=True)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_layer_has_no_parameter_lost_to_half_precision(dtype):
    layer = FRN(2, learnable_eps=True, eps_init=1e-3).to(dtype)
    x = torch.randn(2, 2, 6, 6).to(dtype)
    out = layer(x)
    assert out.dtype == dtype
    expected = frn_fp64(x.float(), layer.weight, layer.bias, 1e-6 + layer.eps_l.item())
    tolerance = {torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)


def test_mmengine_initialisers_reach_the_layer():
    layer = FRN(4)
    constant_init(layer, 0, bias=2)
    assert torch.equal(layer.weight, torch.zeros(4))
    assert torch.equal(layer.bias, torch.full((4,), 2.0))


def test_residual_without_tau_is_refused():
    x = torch.randn(2, 3, 5, 5)
    with pytest.raises(ValueError, match='residual needs tau'):
        FRN(3)(x, residual=x)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'num_features': 0}, 'num_features must be at least 1, but is 0'),
        ({'num_features': 3, 'eps': -1.0}, 'eps must be a finite number of at least 0'),
        ({'num_features': 3, 'eps': float('nan')}, 'eps must be a finite number'),
        ({'num_features': 3, 'eps_init': 0.0}, 'eps_init must be a finite number above 0'),
        ({'num_features': 3, 'eps_form': 'square'}, "eps_form must be 'abs' or 'exp'"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        FRN(**kwargs)


FX_BEFORE_2_6 = 'torch.fx before PyTorch 2.6 does not trace torch.promote_types'


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(learnable_eps=True),
        dict(learnable_eps=True, eps_form='exp'),
        dict(prior=0.9),
        dict(prior=0.9, learnable_prior=True, learnable_eps=True),
    ],
    ids=['eps', 'abs', 'exp', 'prior', 'learnable_prior'],
)
@pytest.mark.parametrize('transform', [torch.jit.script, torch.fx.symbolic_trace])
def test_script_and_fx_keep_results_and_gradients(transform, options):
    if transform is torch.fx.symbolic_trace and options and torch.__version__ < '2.6':
        pytest.skip(FX_BEFORE_2_6)
    model = nn.Sequential(FRN(4, **options), TLU(4))
    x = torch.randn(2, 4, 7, 5)
    dz = torch.randn_like(x)
    results = [f(x) for f in (model, transform(model))]
    grads = [torch.autograd.grad(z, list(model.parameters()), dz) for z in results]
    assert torch.equal(*results)
    assert all(map(torch.equal, *grads))


@pytest.mark.skipif(torch.__version__ < '2.6', reason=FX_BEFORE_2_6)
def test_fx_traces_the_layer_alone_with_its_options_given():
    layer = FRN(4, learnable_eps=True)
    x = torch.randn(2, 4, 7, 5)
    traced = torch.fx.symbolic_trace(layer, concrete_args=dict(tau=None, residual=None))
    assert torch.equal(traced(x), layer(x))
