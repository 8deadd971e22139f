"""As the paper claims for FRN, and not for BN, an image's outputs do not depend on its batch."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import nn


@pytest.fixture(scope='module')
def images():
    torch.manual_seed(0)
    return torch.randn(4, 3, 160, 160) * torch.tensor([0.2, 1.0, 3.0, 10.0]).view(4, 1, 1, 1)


def build(cfg):
    register_all_modules()
    torch.manual_seed(1)
    model = MODELS.build(cfg.model).train()
    for name, p in model.named_parameters():
        if p.dim() == 1:
            nn.init.normal_(p, mean=0.5 if name.endswith('weight') else 0.0, std=0.3)
    return model


@torch.no_grad()
def stages(model, x):
    """Outputs of backbone, neck and head, flat."""
    maps = model.backbone(x)
    pyramid = model.neck(maps)
    scores, deltas = model.bbox_head(pyramid)
    return {'backbone': maps, 'neck': pyramid, 'head': [*scores, *deltas]}


def largest_change(model, images, others):
    """Largest relative change of image 0's outputs when ``others`` share its batch, per stage."""
    alone = stages(model, images[:1])
    together = stages(model, images[[0, *others]])
    return {
        stage: max(
            ((a[0] - b[0]).abs().max() / a.abs().max()).item()
            for a, b in zip(alone[stage], together[stage], strict=True)
        )
        for stage in alone
    }


@pytest.mark.parametrize('others', [[1], [2, 3], [1, 2, 3]])
def test_frn_gives_an_image_the_same_outputs_in_any_batch(others, images, tiny_config):
    model = build(tiny_config())
    for stage, change in largest_change(model, images, others).items():
        # Convolutions choose their algorithm, and so their rounding, by batch size.
        assert change < 1e-4, stage


def test_bn_in_training_mode_does_not(images, tiny_config):
    model = build(tiny_config('bn'))
    for stage, change in largest_change(model, images, [1, 2, 3]).items():
        assert change > 1e-2, stage
