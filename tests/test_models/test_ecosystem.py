"""What users do to a detector with FRN: copies, averages, conversions, optimizer settings."""

import copy
import io
import pickle

import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.model import ExponentialMovingAverage, convert_sync_batchnorm, revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper

from mmdet_frn.export.main import build_detector
from mmdet_frn.layers import FRN, TLU


@pytest.fixture
def detector(tiny_config):
    torch.manual_seed(0)
    return build_detector(tiny_config(), None)


@pytest.fixture
def data(detector):
    torch.manual_seed(1)
    data = demo_mm_inputs(2, [(3, 64, 64)] * 2, num_items=[3, 3], num_classes=4)
    return detector.data_preprocessor(data, training=True)


def loss_of(detector, data):
    return detector.parse_losses(detector(**copy.deepcopy(data), mode='loss'))[0]


def norms(detector):
    return [module for module in detector.modules() if isinstance(module, FRN | TLU)]


def save_and_load(detector):
    file = io.BytesIO()
    torch.save(detector, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    'deepcopy': copy.deepcopy,
    'pickle': lambda detector: pickle.loads(pickle.dumps(detector)),
    'torch.save': save_and_load,
}


@pytest.mark.parametrize('make', COPIES.values(), ids=COPIES)
def test_a_copy_computes_the_same_and_is_separate(detector, data, make):
    twin = make(detector)
    expected = loss_of(detector, data)
    assert torch.equal(loss_of(twin, data), expected)
    with torch.no_grad():
        for module in norms(twin):
            for param in module.parameters():
                param.add_(1)
    assert torch.equal(loss_of(detector, data), expected)


def test_ema_averages_every_parameter_of_frn_and_tlu(detector):
    average = ExponentialMovingAverage(detector, momentum=0.25)
    average.update_parameters(detector)  # the first update copies
    before = {name: p.clone() for name, p in detector.named_parameters()}
    with torch.no_grad():
        for module in norms(detector):
            for param in module.parameters():
                param.add_(1)
    average.update_parameters(detector)
    changed = 0
    for name, param in detector.named_parameters():
        expected = before[name] + 0.25 * (param - before[name])
        torch.testing.assert_close(dict(average.module.named_parameters())[name], expected)
        changed += not torch.equal(param, before[name])
    assert changed == sum(len(list(m.parameters())) for m in norms(detector)) > 0


CONVERSIONS = {
    'torch': torch.nn.SyncBatchNorm.convert_sync_batchnorm,
    'mmengine': lambda model: convert_sync_batchnorm(model, 'torch'),
    'mmengine_back': revert_sync_batchnorm,
}


@pytest.mark.parametrize('convert', CONVERSIONS.values(), ids=CONVERSIONS)
def test_syncbn_conversion_leaves_frn_alone(detector, data, convert):
    expected = loss_of(detector, data)
    before = norms(detector)
    converted = convert(detector)
    assert all(a is b for a, b in zip(norms(converted), before, strict=True))
    assert torch.equal(loss_of(converted, data), expected)


def test_gradient_clipping_counts_frn_and_tlu(detector, data):
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.0)
    wrapper = OptimWrapper(optimizer, clip_grad={'max_norm': 0.1})
    loss_of(detector.train(), data).backward()
    params = [p for p in detector.parameters() if p.grad is not None]
    assert all(p.grad is not None for module in norms(detector) for p in module.parameters())
    norm = torch.stack([p.grad.norm() for p in params]).norm()
    expected = [p.grad * (0.1 / norm) for p in params]
    wrapper.step()
    for param, want in zip(params, expected, strict=True):
        torch.testing.assert_close(param.grad, want, rtol=1e-4, atol=1e-7)


def test_paramwise_cfg_reaches_frn_and_tlu_by_name(detector):
    keys = {'.norms.': {'decay_mult': 0.0}, '.acts.': {'lr_mult': 0.5}}
    optimizer = {'type': 'SGD', 'lr': 1.0, 'weight_decay': 1.0}
    cfg = {'optimizer': optimizer, 'paramwise_cfg': {'custom_keys': keys}}
    wrapper = build_optim_wrapper(detector, cfg)
    groups = {id(p): group for group in wrapper.param_groups for p in group['params']}
    for conv in (*detector.bbox_head.cls_convs, *detector.bbox_head.reg_convs):
        for param in conv.norms.parameters():
            assert groups[id(param)]['weight_decay'] == 0
        for param in conv.acts.parameters():
            assert groups[id(param)]['lr'] == 0.5
        assert groups[id(conv.conv.weight)]['weight_decay'] == 1


def test_bf16_autocast_keeps_parameters_and_their_gradients_in_fp32(detector, data):
    """On the CPU too: maps are bf16, statistics and parameters are not."""
    seen = []
    for module in detector.backbone.modules():
        if isinstance(module, FRN):
            module.register_forward_hook(
                lambda _, inputs, y: seen.append((inputs[0].dtype, y.dtype))
            )
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = loss_of(detector.train(), data)
    loss.backward()
    assert set(seen) == {(torch.bfloat16, torch.bfloat16)}
    gradients = [p.grad for module in norms(detector) for p in module.parameters()]
    assert {g.dtype for g in gradients} == {torch.float32}
    assert all(g.isfinite().all() for g in gradients)
    expected = loss_of(detector, data)
    torch.testing.assert_close(loss.detach(), expected.detach(), rtol=0.05, atol=0)
