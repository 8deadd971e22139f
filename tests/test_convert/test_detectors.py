"""MMDetection's detectors, small: equal to their BN at a prior of 1, no BN left, and a step."""

import copy
import math

import pytest
import torch
from conversion import randomize
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.hub import get_config
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmdet_frn.convert import convert, convert_detector
from mmdet_frn.convert.batch_norms import is_batch_norm
from mmdet_frn.convert.detector import example_forward

SIZE = (64, 64)
# A last map of 2x2 is less than what these convolve or pool it with.
LARGER = dict.fromkeys(('RetinaSepBN', 'Faster R-CNN, deformable'), (128, 128))
DETECTORS = {
    'RetinaNet': 'retinanet/retinanet_r50_fpn_1x_coco',
    'RetinaSepBN': 'nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco',
    'FCOS': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco',
    'ATSS': 'atss/atss_r50_fpn_1x_coco',
    'GFL': 'gfl/gfl_r50_fpn_1x_coco',
    'TOOD': 'tood/tood_r50_fpn_1x_coco',
    'Faster R-CNN': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco',
    'Faster R-CNN, deformable': 'dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco',
    'Mask R-CNN': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco',
    'Cascade R-CNN': 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco',
    'Sparse R-CNN': 'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco',
    'SOLOv2': 'solov2/solov2_r50_fpn_1x_coco',
    'YOLOX': 'yolox/yolox_tiny_8xb8-300e_coco',
    'RTMDet': 'rtmdet/rtmdet_tiny_8xb32-300e_coco',
    'YOLOv3': 'yolo/yolov3_mobilenetv2_8xb24-320-300e_coco',
    'SSD-Lite': 'ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco',
    'DETR': 'detr/detr_r50_8xb2-150e_coco',
    'Deformable DETR': 'deformable_detr/deformable-detr_r50_16xb2-50e_coco',
    'ResNeXt': 'retinanet/retinanet_x101-32x4d_fpn_1x_coco',
    'Res2Net': 'res2net/faster-rcnn_res2net-101_fpn_2x_coco',
    'RegNet': 'regnet/retinanet_regnetx-800MF_fpn_1x_coco',
    'HRNet': 'hrnet/faster-rcnn_hrnetv2p-w18-1x_coco',
}
# What differs most in how it is wired; the rest take the time of several.
QUICK = {'RetinaNet', 'FCOS', 'YOLOX', 'RTMDet', 'SSD-Lite'}


def small(cfg):
    """Shrink what takes the time: blocks of the backbone, proposals, transformer layers."""
    model = copy.deepcopy(cfg.model)
    backbone = model.backbone
    if backbone.get('depth') == 101 and backbone.type in ('ResNeXt', 'Res2Net'):
        backbone.depth = 50
    if (model.get('test_cfg') or {}).get('rpn'):
        model.test_cfg.rpn.max_per_img = 20
        model.train_cfg.rpn_proposal.max_per_img = 20
    for part in ('encoder', 'decoder'):
        if part in model:
            model[part].num_layers = 1
    model.pop('init_cfg', None)
    backbone.init_cfg = None
    return model


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, dict):
        value = list(value.values())
    return [t for v in value for t in tensors(v)] if isinstance(value, (list, tuple)) else []


def sample(size, with_masks):
    meta = {'img_id': 0, 'img_shape': size, 'ori_shape': size, 'pad_shape': size}
    meta |= {'batch_input_shape': size, 'scale_factor': (1.0, 1.0)}
    boxes = torch.tensor([[4.0, 4.0, 40.0, 36.0], [20.0, 10.0, 60.0, 60.0]])
    masks = torch.zeros(2, *size, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    found = DetDataSample(metainfo=meta)
    found.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]))
    if with_masks:
        found.gt_instances.masks = BitmapMasks(masks.numpy(), *size)
    found.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
    )
    return found


@pytest.mark.parametrize(
    'name', [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in DETECTORS]
)
def test_detector_equals_its_bn_and_trains(name):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    size = LARGER.get(name, SIZE)
    cfg = get_config(f'mmdet::{DETECTORS[name]}.py')
    model = randomize(MODELS.build(small(cfg))).eval()
    if name == 'Sparse R-CNN':
        model.rpn_head.init_weights()  # proposals of the whole image, in place of random ones
    if name == 'Deformable DETR':
        torch.nn.init.normal_(model.level_embed)  # uninitialised memory until then, at times NaN
    with torch.no_grad():
        expected = tensors(example_forward(model, size))
        report = convert(
            model, lambda: example_forward(model, size), act_cfg={'type': 'TLU'}, kappa=math.inf
        )
        found = tensors(example_forward(model, size))
    assert len(expected) > 0
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()
    assert not any(is_batch_norm(m) for m in model.modules())
    assert not any('atch' in item.what for item in report.left)

    model.train()
    if name == 'TOOD':
        MessageHub.get_current_instance().update_info('epoch', 0)
    masks = name in ('Mask R-CNN', 'SOLOv2')
    losses = model.loss(torch.randn(1, 3, *size), [sample(size, masks)])
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    norms = [m for n, m in model.named_modules() if n in {r.name for r in report.replaced}]
    trained = [p.grad for m in norms for p in m.parameters() if p.grad is not None]
    assert trained
    assert all(g.isfinite().all() for g in trained)


def test_frozen_stages_stay_frozen_and_are_named():
    init_default_scope('mmdet')
    model = MODELS.build(small(get_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')))
    report = convert_detector(model, act_cfg={'type': 'TLU'}, input_size=SIZE)
    model.train()
    stage = dict(model.backbone.layer1.named_parameters())
    assert any(name.endswith('tau') for name in stage)
    assert not any(p.requires_grad for p in stage.values())
    assert all(name.startswith(('backbone.bn1', 'backbone.layer1.')) for name in report.frozen)
    assert len(report.frozen) == 11
