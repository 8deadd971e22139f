"""convert() on models that are wrapped, hooked, half frozen or not what they look like."""

import copy

import pytest
import torch
from conversion import check_equal_to_bn, randomize
from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmdet_frn import convert
from mmdet_frn.convert.report import KAPPAS
from mmdet_frn.layers import FRN, SwitchableNorm


@pytest.fixture
def x():
    return torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(1))


def test_kappa_is_chosen_by_the_outputs(x):
    torch.manual_seed(0)
    layers = [layer for _ in range(4) for layer in (nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))]
    model = randomize(nn.Sequential(*layers[:6])).eval()
    with torch.no_grad():
        expected = model(x)
        again = copy.deepcopy(model)
        report = convert(model, x, kappa='auto')
        assert 0 < report.kappa < 1000

        def difference(network):
            return (network(x) - expected).norm() / (expected - expected.mean()).norm()

        assert difference(model) <= 0.1
        smaller = KAPPAS[KAPPAS.index(report.kappa) - 1]
        convert(again, x, kappa=smaller)
        assert difference(again) > 0.1
    assert f'kappa {report.kappa:6g}: outputs differ' in str(report)


def test_kappa_is_no_other_text(x):
    with pytest.raises(ValueError, match="kappa must be a number or 'auto', got 'best'"):
        convert(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), x, kappa='best')


def test_kappa_is_not_chosen_with_a_function_as_input(x):
    model = nn.Sequential(nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match='inputs must be a tensor or tuple'):
        convert(model, lambda: model(x), kappa='auto')


class Doubled(nn.BatchNorm2d):
    """A subclass of BN that computes something else."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize('norm', [SwitchableNorm(3), Doubled(3)])
def test_what_computes_something_else_than_a_bn_is_left(x, norm):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), norm)
    report = check_equal_to_bn(model, x)
    assert model[1] is norm
    assert {(item.name, item.reason) for item in report.left} == {
        ('1', 'has running statistics, but does not compute what a BN does with them')
    }


def test_hooks_stay_and_can_be_removed(x):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    seen = []
    handles = []
    for i in (1, 2):
        handles += [
            model[i].register_forward_pre_hook(lambda *_: seen.append('before')),
            model[i].register_forward_hook(lambda *_, **__: seen.append('after'), with_kwargs=True),
            model[i].register_full_backward_hook(lambda *_: seen.append('back')),
        ]
    convert(model, x, act_cfg={'type': 'TLU'})
    seen.clear()
    model(x).sum().backward()
    assert seen == ['before', 'after'] * 2 + ['back'] * 2
    for handle in handles:
        handle.remove()
    model(x)
    assert len(seen) == 6


@pytest.mark.parametrize('mean', [400.0, 1e-3])
def test_a_prior_in_half_precision_neither_overflows_nor_vanishes(x, mean):
    model = nn.Sequential(nn.BatchNorm2d(3)).eval()
    model[0].running_mean.fill_(mean)
    model[0].running_var.fill_((mean / 10) ** 2)
    model[0].eps = 1e-12
    inputs = mean * (1 + x / 10)
    expected = model(inputs)
    convert(model, inputs, kappa=10)
    found = model.half()(inputs.half()).float()
    assert model[0].prior.nu2.dtype == torch.float32
    # A deviation of 1 here is 1/10 of the mean, and fp16 has 11 bits.
    assert (found - expected).abs().max() < 0.4


def test_one_half_frozen_bn_keeps_what_trains(x):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model[1].bias.requires_grad_(False)
    convert(model, x)
    assert (model[1].weight.requires_grad, model[1].bias.requires_grad) == (True, False)


def test_mmcvs_folding_of_bn_is_off_afterwards(x):
    model = nn.Sequential(ConvModule(3, 4, 3, norm_cfg={'type': 'BN'}, efficient_conv_bn_eval=True))
    check_equal_to_bn(model, x)
    assert isinstance(model[0].bn, FRN)


@pytest.mark.parametrize(
    ('wrap', 'message'),
    [
        (torch.jit.script, 'convert it before it is scripted'),
        (lambda m: nn.Sequential(nn.LazyBatchNorm2d(), m), 'run it once on an input'),
    ],
)
def test_models_that_cannot_be_converted_are_refused(x, wrap, message):
    model = wrap(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    with pytest.raises(ValueError, match=message):
        convert(model, x)


def test_distributed_data_parallel_is_refused(x):
    model = nn.Sequential(nn.BatchNorm2d(3))
    # Without a process group, none can be made.
    model.append(DistributedDataParallel.__new__(DistributedDataParallel))
    nn.Module.__init__(model[1])
    with pytest.raises(ValueError, match='convert it before it is wrapped'):
        convert(model, x)
