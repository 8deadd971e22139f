"""tools/convert_study.py reads checkpoints as data, and prepares what its table names."""

import pytest
import torch
from conversion import randomize
from helpers import Payload
from mmengine.optim import build_optim_wrapper

from mmdet_frn.convert.config import build_detector
from mmdet_frn.convert.study import WAYS, evaluate, fine_tuning, prepare
from mmdet_frn.layers import FRN
from mmdet_frn.utils.errors import UsageError


@pytest.fixture
def cfg(tiny_config, tiny_shapes, monkeypatch):
    monkeypatch.setenv('MMDET_FRN_DATA_ROOT', str(tiny_shapes.parent))
    return tiny_config('bn')


@pytest.fixture
def bn(cfg):
    torch.manual_seed(0)
    return randomize(build_detector(cfg)).state_dict()


@pytest.mark.parametrize('way', ['FRN', 'FRN, gamma and beta copied', 'BN itself'])
def test_a_checkpoint_cannot_run_code_when_it_is_converted_or_evaluated(cfg, bn, tmp_path, way):
    planted = tmp_path / 'planted'
    torch.save({'state_dict': bn, 'x': Payload(planted)}, tmp_path / 'evil.pth')
    with pytest.raises(UsageError, match='refused'):
        evaluate(
            prepare(cfg, str(tmp_path / 'evil.pth'), WAYS[way], tmp_path / 'study'),
            tmp_path / 'study',
        )
    assert not planted.exists()


def test_a_learned_prior_has_its_own_rate(cfg, bn, tmp_path):
    torch.save({'state_dict': bn}, tmp_path / 'bn.pth')
    way = WAYS['FRN, kappa learned from 10 at 100 times the rate']
    start = prepare(cfg, str(tmp_path / 'bn.pth'), way, tmp_path / 'study')
    tuning = fine_tuning(start, way, 2, 0, 20, 1e-4, tmp_path / 'study')
    model = build_detector(tuning)
    groups = build_optim_wrapper(model, tuning.optim_wrapper).param_groups
    by_id = {
        id(p): (group['lr'], group['weight_decay']) for group in groups for p in group['params']
    }
    rates = {name.endswith('prior.logit'): by_id[id(p)] for name, p in model.named_parameters()}
    assert rates[True] == pytest.approx((1e-2, 0))
    assert rates[False][0] == pytest.approx(1e-4)


def test_copied_weights_are_those_of_bn_and_fresh_ones_ones(cfg, bn, tmp_path):
    torch.save({'state_dict': bn}, tmp_path / 'bn.pth')
    for way, expected in (('FRN, gamma and beta copied', bn), ('FRN, fresh', None)):
        start = prepare(cfg, str(tmp_path / 'bn.pth'), WAYS[way], tmp_path / way)
        state = torch.load(start.load_from, weights_only=True)['state_dict']
        norms = [n for n, m in build_detector(start).named_modules() if isinstance(m, FRN)]
        assert norms
        for name in norms:
            weight = state[f'{name}.weight']
            wanted = torch.ones_like(weight) if expected is None else expected[f'{name}.weight']
            assert torch.equal(weight, wanted)
