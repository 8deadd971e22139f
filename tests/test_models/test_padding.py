"""With pad-masked norms a detector's result for an image does not depend on the batch's padding."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.hub import get_config
from torch import nn

from mmdet_frn.models import PadMaskedDetDataPreprocessor
from mmdet_frn.norms import use_norm

ABLATION = 'configs/ablations/retinanet_r18-w32_fpn_{}_1xb2-1k_shapes-128.py'
LARGE, SMALL = (128, 160), (70, 60)


def sample(shape):
    return DetDataSample(
        metainfo={'img_shape': shape, 'ori_shape': shape, 'scale_factor': (1.0, 1.0)}
    )


def batch(*images):
    return {'inputs': list(images), 'data_samples': [sample(tuple(i.shape[1:])) for i in images]}


@pytest.fixture(scope='module')
def images():
    torch.manual_seed(0)
    return [torch.randint(0, 256, (3, *shape), dtype=torch.uint8) for shape in (SMALL, LARGE)]


def build(cfg):
    register_all_modules()
    torch.manual_seed(1)
    model = MODELS.build(cfg.model).eval()
    model.init_weights()
    for name, p in model.named_parameters():
        if p.dim() == 1:
            # Thresholds on either side of 0, biases everywhere: nothing is 0 by chance.
            nn.init.normal_(p, mean=0.5 if name.endswith('weight') else 0.0, std=0.3)
    return model


def ours(name, root, options):
    cfg = Config.fromfile(root / ABLATION.format(name))
    cfg.merge_from_dict(options)
    return cfg


def mmdetections(norm_cfg):
    """MMDetection's own RetinaNet, which knows nothing of masks."""
    cfg = get_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')
    parts = use_norm('GN pad-masked')
    cfg.merge_from_dict(
        {
            'model.data_preprocessor.type': parts['data_preprocessor']['type'],
            'model.backbone.depth': 18,
            'model.backbone.base_channels': 8,
            'model.backbone.frozen_stages': -1,
            'model.backbone.init_cfg': None,
            'model.backbone.norm_cfg': norm_cfg,
            'model.neck.in_channels': [8, 16, 32, 64],
            'model.neck.out_channels': 16,
            'model.neck.norm_cfg': norm_cfg,
            'model.neck.conv_cfg': parts['neck']['conv_cfg'],
            'model.bbox_head.in_channels': 16,
            'model.bbox_head.feat_channels': 16,
            'model.bbox_head.stacked_convs': 1,
            'model.bbox_head.norm_cfg': norm_cfg,
        }
    )
    return cfg


@torch.no_grad()
def outputs(model, *images):
    """Scores and deltas of the first image where it is, in fp64: rounding aside, bitwise."""
    model = copy.deepcopy(model).double()
    data = model.data_preprocessor(batch(*images))
    scores, deltas = model.bbox_head(model.extract_feat(data['inputs'].double()))
    strides = [stride[0] for stride in model.bbox_head.prior_generator.strides]
    height, width = images[0].shape[1:]
    return [
        out[0, :, : -(-height // stride), : -(-width // stride)]
        for outs in (scores, deltas)
        for out, stride in zip(outs, strides, strict=True)
    ]


def change(model, images):
    """Largest change of the small image's outputs by the large image beside it."""
    alone, together = outputs(model, images[0]), outputs(model, *images)
    return max((a - b).abs().max().item() for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize('name', ['frn-pad-masked', 'gn-pad-masked'])
def test_an_image_has_the_same_outputs_alone_and_beside_a_larger_one(
    name, images, request, tiny_options
):
    groups = {f'model.{part}.norm_cfg.num_groups': 8 for part in ('backbone', 'neck', 'bbox_head')}
    options = {**tiny_options, **(groups if name == 'gn-pad-masked' else {})}
    assert change(build(ours(name, request.config.rootpath, options)), images) < 1e-11


@pytest.mark.parametrize(
    'norm_cfg',
    [{'type': 'PadMaskedFRN', 'eps': 1e-6}, {'type': 'PadMaskedGN', 'num_groups': 8}],
)
def test_mmdetections_own_models_need_no_change(norm_cfg, images):
    assert change(build(mmdetections(norm_cfg)), images) < 1e-11


@pytest.mark.parametrize(
    'without',
    [
        {'model.backbone.norm_cfg.type': 'FRN'},
        {'model.neck.conv_cfg': None},
        {'model.bbox_head.norm_cfg.type': 'FRN'},
        {'model.data_preprocessor.type': 'DetDataPreprocessor'},
    ],
)
def test_each_part_is_needed(without, images, request, tiny_options):
    cfg = ours('frn-pad-masked', request.config.rootpath, {**tiny_options, **without})
    assert change(build(cfg), images) > 1e-3


def test_detections_of_an_image_are_the_same_alone_and_in_a_batch(images, request, tiny_options):
    model = build(ours('frn-pad-masked', request.config.rootpath, tiny_options))
    nn.init.normal_(model.bbox_head.retina_cls.weight, std=0.3)
    nn.init.constant_(model.bbox_head.retina_cls.bias, -4.6)  # no detection where nothing is
    # Cut so that it is padded by a pixel of every level when alone: at that pixel a detection may
    # see the image from outside.
    small = images[0][:, :, :40]
    (alone,), (together, _) = (model.test_step(batch(small, *i)) for i in ([], images[1:]))
    assert len(alone.pred_instances) > 5
    for field in ('scores', 'labels', 'bboxes'):
        torch.testing.assert_close(
            alone.pred_instances[field], together.pred_instances[field], rtol=1e-3, atol=1e-3
        )


def test_a_training_step_with_padding_reaches_every_parameter(images, request, tiny_options):
    from mmdet.testing import demo_mm_inputs

    model = build(ours('frn-pad-masked', request.config.rootpath, tiny_options)).train()
    data = demo_mm_inputs(2, [(3, 64, 40), (3, 50, 64)], num_items=[2, 2], num_classes=4)
    data = model.data_preprocessor(data, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_the_preprocessor_says_what_it_lacks(images):
    with pytest.raises(ValueError, match=r'pad_value must be 0, .* got 114'):
        PadMaskedDetDataPreprocessor(pad_value=114)
    with pytest.raises(ValueError, match='reads img_shape of the data samples, got none'):
        PadMaskedDetDataPreprocessor()({'inputs': [images[0].float()]})
