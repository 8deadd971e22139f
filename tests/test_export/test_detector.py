"""A detector as one graph: the same detections as MMDetection's predict, in PyTorch and ONNX."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from torch import nn
from torchvision.ops import batched_nms

from mmdet_frn.export.detector import Detector
from mmdet_frn.export.main import build_detector, export
from mmdet_frn.export.nms import non_max_suppression
from mmdet_frn.export.onnx import export_detector
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError

CONFIG = 'configs/shapes/retinanet_r18-w32_fpn_frn-all_1xb2-1k_shapes-128.py'
# One stage and one level: what makes an export long is the number of its nodes.
SMALL = {
    'model.backbone.num_stages': 1,
    'model.backbone.strides': (1,),
    'model.backbone.dilations': (1,),
    'model.backbone.out_indices': (0,),
    'model.neck.in_channels': [8],
    'model.neck.start_level': 0,
    'model.neck.num_outs': 1,
    'model.bbox_head.anchor_generator.strides': [4],
}


@pytest.fixture(scope='module')
def config(request):
    return str(request.config.rootpath / CONFIG)


@pytest.fixture(scope='module')
def options(tiny_options):
    return {**tiny_options, **SMALL}


def build(config, options, **head):
    """A detector with random weights that finds much."""
    cfg = load_config(config, {**options, **{f'model.{k}': v for k, v in head.items()}})
    torch.manual_seed(0)
    model = build_detector(cfg, None)
    nn.init.normal_(model.bbox_head.retina_cls.weight, std=0.1)  # scores without ties
    nn.init.constant_(model.bbox_head.retina_cls.bias, -2)
    nn.init.normal_(model.bbox_head.retina_reg.weight, std=0.1)
    return model


def predict(model, images):
    """MMDetection's own detections for images (N, 3, H, W) of one size."""
    from mmdet.structures import DetDataSample

    shape = images.shape[-2:]
    meta = {'img_shape': shape, 'ori_shape': shape, 'scale_factor': (1.0, 1.0)}
    samples = [DetDataSample(metainfo=meta) for _ in images]
    with torch.no_grad():
        return model.test_step({'inputs': list(images), 'data_samples': samples})


def assert_same(found, expected, rtol=1e-5, atol=1e-4):
    """Compare a graph's detections with MMDetection's, image by image."""
    for dets, labels, sample in zip(*found, expected, strict=True):
        want: InstanceData = sample.pred_instances
        number = len(want)
        assert number > 5
        torch.testing.assert_close(dets[:number, :4], want.bboxes, rtol=rtol, atol=atol)
        torch.testing.assert_close(dets[:number, 4], want.scores, rtol=rtol, atol=atol)
        assert torch.equal(labels[:number], want.labels)
        assert (labels[number:] == -1).all()
        assert (dets[number:, 4] == 0).all()


VARIANTS = {
    'sigmoid': {},
    'softmax': {'bbox_head.loss_cls': {'_delete_': True, 'type': 'CrossEntropyLoss'}},
    'few_candidates': {'test_cfg.nms_pre': 30, 'test_cfg.max_per_img': 20},
    'all_candidates': {'test_cfg.nms_pre': -1},
    'high_threshold': {'test_cfg.score_thr': 0.3},
    'min_size': {'test_cfg.min_bbox_size': 30},
    'two_levels': {'neck.num_outs': 2, 'bbox_head.anchor_generator.strides': [4, 8]},
    'unclipped': {'bbox_head.bbox_coder.clip_border': False},
}


@pytest.mark.parametrize('variant', VARIANTS)
def test_the_graph_detects_what_mmdetection_does(config, options, variant):
    model = build(config, options, **VARIANTS[variant])
    images = torch.randint(0, 256, (2, 3, 70, 90)).float()  # not multiples of the stride
    with torch.no_grad():
        assert_same(Detector(model)(images), predict(model, images))


def test_nms_keeps_what_torchvision_keeps():
    torch.manual_seed(0)
    corner = 50 * torch.rand(2, 40, 2)
    boxes = torch.cat([corner, corner + 5 + 30 * torch.rand(2, 40, 2)], dim=2)
    scores = torch.rand(2, 3, 40)
    found = non_max_suppression(boxes, scores, 4, 0.4, 0.2)
    for image in range(2):
        for label in range(3):
            of_class = scores[image, label]
            above = (of_class > 0.2).nonzero()[:, 0]
            keep = batched_nms(boxes[image, above], of_class[above], above * 0, 0.4)[:4]
            rows = found[(found[:, 0] == image) & (found[:, 1] == label), 2]
            assert torch.equal(rows, above[keep])


@pytest.mark.parametrize(
    ('option', 'value', 'message'),
    [
        ('test_cfg.nms', {'type': 'soft_nms'}, 'plain NMS by class'),
        ('bbox_head.bbox_coder.type', 'TBLRBBoxCoder', 'not decoded as RetinaNet'),
    ],
)
def test_another_decoding_is_refused(config, options, option, value, message):
    model = build(config, options)
    head = model.bbox_head
    if option == 'test_cfg.nms':
        head.test_cfg.nms = head.test_cfg.nms.__class__(value)
    else:
        head.bbox_coder = nn.Identity()
    with pytest.raises(UsageError, match=message):
        Detector(model)


def test_only_single_stage_detectors_are_exported(tmp_path):
    with pytest.raises(UsageError, match='Linear is no single-stage detector'):
        export_detector(nn.Linear(1, 1), tmp_path / 'x.onnx', (64, 64))


exports_detectors = pytest.mark.skipif(
    torch.__version__ < '2.6', reason='exporting a detector needs PyTorch 2.6'
)


@exports_detectors
def test_a_full_disk_leaves_the_file_that_was_there(config, options, tmp_path, monkeypatch):
    out = tmp_path / 'x.onnx'
    out.write_text('an earlier export')

    def fill(graph, images, path, *, custom_translation_table, **kwargs):
        path.write_text('half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch.onnx, 'export', fill)
    with pytest.raises(OSError, match='No space left'):
        export_detector(build(config, options), out, (64, 64))
    assert out.read_text() == 'an earlier export'
    assert list(tmp_path.iterdir()) == [out]


@pytest.fixture(scope='module')
def checkpoint(config, options, tmp_path_factory):
    path = tmp_path_factory.mktemp('checkpoint') / 'x.pth'
    torch.save({'state_dict': build(config, options).state_dict(), 'meta': {}}, path)
    return path


@exports_detectors
@pytest.mark.slow
def test_an_exported_detector_is_that_of_mmdetection(config, options, checkpoint, tmp_path, capsys):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    out = tmp_path / 'x.onnx'
    assert export(config, checkpoint, out, options=options) == 0
    printed = capsys.readouterr().out
    assert 'onnxruntime: 4 images' in printed
    assert 'equal up to rounding' in printed
    # Several images, of another size than it was traced with.
    session = onnxruntime.InferenceSession(out, providers=['CPUExecutionProvider'])
    images = torch.randint(0, 256, (3, 3, 70, 90)).float()
    found = [torch.from_numpy(y) for y in session.run(None, {'images': images.numpy()})]
    assert_same(found, predict(build(config, options), images), rtol=1e-4, atol=1e-3)


@exports_detectors
def test_raw_outputs_in_fp16_decode_to_the_detections(config, options, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxscript')
    model = build(config, options)
    out = tmp_path / 'x.onnx'
    export_detector(model, out, (64, 96), dynamic=False, half=True, raw=True)
    half = onnx.TensorProto.FLOAT16
    assert half in {weight.data_type for weight in onnx.load(out).graph.initializer}
    assert next(model.parameters()).dtype == torch.float32  # the user's model is left alone
    images = torch.randint(0, 256, (1, 3, 64, 96)).float()
    session = onnxruntime.InferenceSession(out, providers=['CPUExecutionProvider'])
    outputs = [torch.from_numpy(y) for y in session.run(None, {'images': images.numpy()})]
    dets, labels = Detector(model).decode(outputs[:1], outputs[1:], (64, 96))
    expected = predict(model, images)[0].pred_instances
    assert labels[0, 0] == expected.labels[0]
    assert np.abs(dets[0, 0, :4] - expected.bboxes[0]).max() < 0.5
    assert abs(dets[0, 0, 4] - expected.scores[0]) < 0.01
