"""Weight decay of FRN and TLU beside that of MMEngine's norms."""

import logging

import pytest
import torch
from helpers import weight_decays
from mmcv.cnn import ConvModule
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdet_frn.engine.optim_wrapper_constructor import warn_of_norm_decay
from mmdet_frn.layers import FRN, ChannelAffine

WD = 0.1


@pytest.fixture
def model():
    frn = ConvModule(3, 4, 3, bias=True, norm_cfg={'type': 'FRN'}, act_cfg={'type': 'TLU'})
    bn = ConvModule(4, 4, 3, norm_cfg={'type': 'BN'})
    return nn.ModuleDict({'frn': frn, 'bn': bn, 'fc': FRN(2, learnable_eps=True)})


NORMS = {
    *('frn.frn.weight', 'frn.frn.bias', 'frn.activate.tau', 'bn.bn.weight', 'bn.bn.bias'),
    *('fc.weight', 'fc.bias', 'fc.eps_l'),
}


def test_norm_decay_mult_reaches_gamma_beta_tau_and_eps_as_it_does_bn(model):
    found = weight_decays(model, norm_decay_mult=0.0)
    assert {name for name, decay in found.items() if decay == 0} == NORMS
    assert {decay for name, decay in found.items() if name not in NORMS} == {WD}


def test_mmengines_own_constructor_does_not_reach_them(model):
    found = weight_decays(model, constructor='DefaultOptimWrapperConstructor', norm_decay_mult=0.0)
    assert {name for name, decay in found.items() if decay == 0} == {'bn.bn.weight', 'bn.bn.bias'}


def test_flat_decay_mult_reaches_them_with_either_constructor(model):
    for constructor in ('DefaultOptimWrapperConstructor', 'NormDecayOptimWrapperConstructor'):
        found = weight_decays(model, constructor=constructor, flat_decay_mult=0.0)
        zero = {name for name, decay in found.items() if decay == 0}
        assert zero == {*NORMS, 'frn.conv.bias'}


def test_biases_of_norms_are_left_to_norm_decay_mult(model):
    found = weight_decays(model, bias_decay_mult=0.0)
    assert {n for n, decay in found.items() if decay == 0} == {'frn.conv.bias', 'bn.bn.bias'}


def test_norm_decay_mult_reaches_what_convert_puts_in():
    model = nn.Sequential(ChannelAffine(2), FRN(2, prior=0.5, learnable_prior=True))
    assert set(weight_decays(model, norm_decay_mult=0.0).values()) == {0}


def test_custom_keys_come_first(model):
    found = weight_decays(model, norm_decay_mult=0.0, custom_keys={'tau': {'decay_mult': 0.5}})
    assert found['frn.activate.tau'] == pytest.approx(WD / 2)
    assert found['frn.frn.weight'] == 0


def test_all_parameters_are_optimised_once(model):
    cfg = {
        'type': 'OptimWrapper',
        'constructor': 'NormDecayOptimWrapperConstructor',
        'optimizer': {'type': 'SGD', 'lr': 0.1, 'weight_decay': WD},
        'paramwise_cfg': {'norm_decay_mult': 0.0},
    }
    wrapper = build_optim_wrapper(model, cfg)
    params = [p for group in wrapper.optimizer.param_groups for p in group['params']]
    assert len(params) == len({id(p) for p in params}) == len(list(model.parameters()))
    before = [p.detach().clone() for p in params]
    sum(p.sum() for p in params).backward()
    wrapper.step()
    assert not any(torch.equal(p, old) for p, old in zip(params, before, strict=True))


@pytest.fixture
def said():
    """Warnings of MMEngine's logger."""
    logger, lines = MMLogger.get_current_instance(), []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ('optim', 'norm', 'warns'),
    [
        ({}, 'FRN', True),
        ({'constructor': 'DefaultOptimWrapperConstructor'}, 'FRN', True),
        ({'constructor': 'NormDecayOptimWrapperConstructor'}, 'FRN', False),
        ({'paramwise_cfg': {'bias_decay_mult': 0.0}}, 'FRN', False),
        ({}, 'BN', False),
    ],
)
def test_a_norm_decay_mult_that_is_ignored_is_a_warning(optim, norm, warns, said):
    model = ConvModule(3, 4, 3, norm_cfg={'type': norm})
    optim = {'paramwise_cfg': {'norm_decay_mult': 0.0}, **optim}
    constructor = optim.get('constructor', 'DefaultOptimWrapperConstructor')
    decay = weight_decays(model, constructor, **optim['paramwise_cfg'])[f'{norm.lower()}.weight']
    ignored = 'norm_decay_mult' in optim['paramwise_cfg'] and decay == WD
    assert ignored == warns
    warn_of_norm_decay(Config({'optim_wrapper': optim}), model)
    message = (
        'optim_wrapper.paramwise_cfg.norm_decay_mult=0.0 is ignored for FRN: MMEngine recognises '
        'only the norms of PyTorch; set '
        "optim_wrapper.constructor='NormDecayOptimWrapperConstructor'"
    )
    assert said == ([message] if warns else [])
