"""Image networks of torchvision and timm: equal to BN at a prior of 1, and trainable."""

import pytest
import timm
import torch
import torchvision
from conversion import check_equal_to_bn

from mmdet_frn.convert.batch_norms import is_batch_norm

TORCHVISION = [
    'resnet50', 'mobilenet_v2', 'mobilenet_v3_small', 'regnet_y_400mf', 'efficientnet_b0',
    'densenet121', 'googlenet', 'shufflenet_v2_x0_5',
]  # fmt: skip
TIMM = [
    'resnet18', 'efficientnet_b0', 'mobilenetv3_small_050', 'densenet121', 'regnetx_002',
    'ghostnet_050', 'hrnet_w18_small', 'repvgg_a0', 'mixnet_s', 'resnest14d',
]  # fmt: skip


def tv(name):
    arguments = {'aux_logits': False, 'init_weights': False} if name == 'googlenet' else {}
    return torchvision.models.get_model(name, weights=None, **arguments)


@pytest.mark.parametrize(
    'name', [f'torchvision.{n}' for n in TORCHVISION] + [f'timm.{n}' for n in TIMM]
)
def test_network_equals_its_bn_and_trains(name):
    torch.manual_seed(0)
    origin, _, name = name.partition('.')
    model = tv(name) if origin == 'torchvision' else timm.create_model(name)
    x = torch.randn(2, 3, 64, 64)
    report = check_equal_to_bn(model, x, act_cfg={'type': 'TLU'})
    assert not any(is_batch_norm(m) for m in model.modules())
    assert not any('BatchNorm' in item.what for item in report.left)
    model.train()
    model(x).square().mean().backward()
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(g is not None and g.isfinite().all() for g in grads)
