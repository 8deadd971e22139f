"""FRN with a prior: its equation in fp64, its ends (FRN and BN), gradients and state dict."""

import copy
import math

import pytest
import torch
from torch import nn

from mmdet_frn.layers import FRN, TLU, BatchNormConverted, norm_act, prior_of


def random_bn(channels=6, eps=1e-3):
    """A BN in evaluation mode with statistics far from their initial values."""
    bn = nn.BatchNorm2d(channels, eps=eps).eval()
    nn.init.normal_(bn.weight)
    nn.init.normal_(bn.bias)
    nn.init.normal_(bn.running_mean, std=3)
    nn.init.uniform_(bn.running_var, 0.1, 4)
    return bn


def from_bn(bn, **kwargs):
    layer = FRN(bn.num_features, eps=bn.eps, **kwargs)
    layer.batch_norm_eps = bn.eps
    with pytest.warns(BatchNormConverted):
        layer.load_state_dict(bn.state_dict())
    return layer


def equation(x, bn, prior):
    """w0 * x / sqrt(lambda * p + (1 - lambda) * nu2) + b0 in fp64, as the conversion states it."""
    x = x.double()
    gamma, beta, mu, var = (
        t.detach().double()[:, None, None]
        for t in (bn.weight, bn.bias, bn.running_mean, bn.running_var)
    )
    p = mu**2 + var + bn.eps
    w0 = gamma * (p / (var + bn.eps)).sqrt()
    b0 = beta - gamma * mu / (var + bn.eps).sqrt()
    nu2 = x.square().mean((2, 3), keepdim=True) + bn.eps
    return w0 * x / (prior * p + (1 - prior) * nu2).sqrt() + b0


@pytest.mark.parametrize('prior', [0.0, 0.3, 10 / 11, 1 - 1e-6, 1.0])
def test_layer_computes_the_equation_of_the_prior(prior):
    torch.manual_seed(0)
    bn = random_bn()
    x = 2 * torch.randn(3, 6, 7, 5) + bn.running_mean[:, None, None]
    out = from_bn(bn, prior=prior)(x)
    torch.testing.assert_close(out.double(), equation(x, bn, prior), rtol=1e-5, atol=1e-5)


def test_prior_of_1_is_bn_in_evaluation_mode_whatever_the_image():
    torch.manual_seed(0)
    bn = random_bn()
    layer = from_bn(bn, prior=1.0)
    for scale in (1e-3, 1.0, 1e3):
        x = scale * torch.randn(2, 6, 4, 4)
        torch.testing.assert_close(layer(x), bn(x), rtol=1e-5, atol=1e-5)


def test_prior_of_1_is_bn_in_fp64_to_14_digits():
    torch.manual_seed(0)
    bn = random_bn().double()
    layer = FRN(6, eps=bn.eps, prior=1.0).double()
    layer.batch_norm_eps = bn.eps
    with pytest.warns(BatchNormConverted):
        layer.load_state_dict(bn.state_dict())
    x = torch.randn(2, 6, 4, 4).double()
    torch.testing.assert_close(layer(x), bn(x), rtol=1e-13, atol=1e-13)


def test_frn_equals_bn_where_an_images_mean_square_is_the_populations():
    torch.manual_seed(0)
    bn = random_bn()
    x = torch.randn(2, 6, 8, 8) + bn.running_mean[:, None, None]
    wanted = (bn.running_mean**2 + bn.running_var)[:, None, None]
    x = x * (wanted / x.square().mean((2, 3), keepdim=True)).sqrt()
    torch.testing.assert_close(from_bn(bn)(x), bn(x), rtol=1e-4, atol=1e-4)


def test_gradients_of_a_prior_of_1_are_those_of_bn():
    torch.manual_seed(0)
    bn = random_bn()
    layer = from_bn(bn, prior=1.0)
    grads = []
    x = torch.randn(2, 6, 5, 5)
    upstream = torch.randn(2, 6, 5, 5)
    for module in (bn, layer):
        leaf = x.clone().requires_grad_()
        module(leaf).backward(upstream)
        grads.append((leaf.grad, module.weight.grad, module.bias.grad))
    torch.testing.assert_close(grads[1][0], grads[0][0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grads[1][2], grads[0][2])
    # The weight multiplies x / sqrt(p), in BN (x - mean) / sqrt(var + eps).
    p = bn.running_mean**2 + bn.running_var + bn.eps
    expected = (upstream * x / p.sqrt()[:, None, None]).sum((0, 2, 3))
    torch.testing.assert_close(grads[1][1], expected, rtol=1e-5, atol=1e-5)


def test_no_prior_is_the_papers_frn_and_has_no_more_entries():
    x = torch.randn(2, 4, 5, 5)
    plain, zero = FRN(4), FRN(4, prior=0.0)
    assert list(plain.state_dict()) == ['weight', 'bias']
    assert list(zero.state_dict()) == ['weight', 'bias', 'prior.nu2', 'prior.value']
    assert torch.equal(plain(x), zero(x))


def test_learned_prior_has_the_gradient_of_its_equation():
    torch.manual_seed(0)
    layer = FRN(3, prior=0.8, learnable_prior=True).double()
    layer.prior.nu2.copy_(torch.tensor([0.5, 2.0, 7.0]))
    x = torch.randn(2, 3, 4, 4).double()
    assert torch.autograd.gradcheck(
        lambda logit: torch.func.functional_call(layer, {'prior.logit': logit}, (x,)),
        layer.prior.logit.detach().clone().requires_grad_(),
    )
    fixed = FRN(3, prior=0.8).double()
    fixed.prior.nu2.copy_(layer.prior.nu2)
    torch.testing.assert_close(layer(x), fixed(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('prior', [0.9, 1.0])
def test_half_layers_keep_the_prior(dtype, prior):
    torch.manual_seed(0)
    bn = random_bn()
    layer = from_bn(bn, prior=prior)
    x = torch.randn(2, 6, 8, 8)
    half = copy.deepcopy(layer).to(dtype)
    tolerance = {torch.float16: 2e-2, torch.bfloat16: 8e-2}[dtype]
    torch.testing.assert_close(half(x.to(dtype)).float(), layer(x), rtol=tolerance, atol=tolerance)


def test_prior_fuses_with_tlu_and_residual():
    torch.manual_seed(0)
    layer, act = from_bn(random_bn(), prior=0.9), TLU(6, init=0.1)
    x, residual = torch.randn(2, 2, 6, 5, 5)
    expected = torch.maximum(layer(x) + residual, torch.tensor(0.1))
    torch.testing.assert_close(norm_act(x, layer, act, residual.clone()), expected)


def test_near_constant_channels_are_clamped_and_keep_their_output_at_the_mean():
    bn = nn.BatchNorm2d(2, eps=1e-5).eval()
    bn.running_mean.copy_(torch.tensor([50.0, 0.0]))
    bn.running_var.copy_(torch.tensor([1e-4, 0.0]))
    nn.init.constant_(bn.bias, 0.7)
    layer = from_bn(bn)
    assert layer.weight[0].item() == pytest.approx(100)
    assert layer.weight[1].item() == pytest.approx(1)
    x = bn.running_mean[:, None, None].expand(1, 2, 4, 4)
    # Without a deviation around the mean nu2 lacks the variance, 1 / 100^2 of p.
    torch.testing.assert_close(layer(x), bn(x), rtol=0, atol=1e-2)


@pytest.mark.parametrize('missing', ['running_mean', 'bias'])
def test_incomplete_bn_entries_are_refused_as_a_whole(missing):
    entries = random_bn().state_dict()
    del entries[missing]
    with pytest.raises(RuntimeError, match='running_var'):
        FRN(6).load_state_dict(entries)


def test_a_converted_layer_is_loaded_as_it_is():
    torch.manual_seed(0)
    layer = from_bn(random_bn(), prior=0.9)
    layer.prior.set(0.25)
    other = FRN(6, prior=0.9)
    other.load_state_dict(layer.state_dict())
    assert other.prior.value.item() == 0.25
    assert all(torch.equal(a, layer.state_dict()[k]) for k, a in other.state_dict().items())


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'prior': -0.1}, r'prior must be in \[0, 1\], got -0.1'),
        ({'prior': math.nan}, r'prior must be in \[0, 1\], got nan'),
        ({'prior': 1.0, 'learnable_prior': True}, 'prior must be > 0 and < 1 to be learned, got 1'),
        ({'learnable_prior': True}, 'learnable_prior needs a prior'),
    ],
)
def test_wrong_priors_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        FRN(3, **kwargs)


@pytest.mark.parametrize('inherited', ['momentum', 'num_groups'])
def test_arguments_of_another_norm_name_the_remedy(inherited):
    with pytest.raises(TypeError, match=f'FRN takes no {inherited}.*_delete_=True'):
        FRN(3, **{inherited: 1})


def test_kappa_and_prior_are_two_names_of_one_number():
    assert [prior_of(k) for k in (0, 1, 3, math.inf)] == [0, 0.5, 0.75, 1]
    with pytest.raises(ValueError, match='kappa must be >= 0, got -1'):
        prior_of(-1)
