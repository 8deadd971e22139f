import json
from pathlib import Path

import helpers
import pytest
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from PIL import ExifTags, Image

from mmdet_frn.datasets import CLASSES, DatasetError, check_cfg, check_config


@pytest.fixture
def cfg(shapes):
    """A detector's config as MMDetection writes it, reduced to what is checked."""

    def loader(split):
        return dict(
            dataset=dict(
                type='CocoDataset',
                data_root=str(shapes),
                ann_file=f'annotations/instances_{split}.json',
                data_prefix=dict(img=f'{split}/'),
                metainfo=dict(classes=CLASSES),
                pipeline=[dict(type='LoadImageFromFile')],
            )
        )

    metric = dict(type='CocoMetric', ann_file=f'{shapes}/annotations/instances_val.json')
    return Config(
        dict(
            model=dict(type='RetinaNet', bbox_head=dict(type='RetinaHead', num_classes=4)),
            train_dataloader=loader('train'),
            val_dataloader=loader('val'),
            test_dataloader=loader('val'),
            val_evaluator=metric,
            test_evaluator=[dict(type='DumpDetResults', out_file_path='out.pkl'), metric],
        )
    )


@pytest.fixture
def checked(monkeypatch):
    """The arguments of the calls of check_coco."""
    calls = []
    check_coco = check_config.check_coco

    def record(ann_file, img_dir, classes, purpose, **kwargs):
        calls.append((ann_file, img_dir, classes, purpose))
        return check_coco(ann_file, img_dir, classes, purpose, **kwargs)

    monkeypatch.setattr(check_config, 'check_coco', record)
    return calls


def refused(cfg, *args):
    return helpers.refused(check_cfg, cfg, *args, error=DatasetError)


def test_each_set_is_checked_once(cfg, shapes, checked):
    check_cfg(cfg)
    assert checked == [
        (f'{shapes}/annotations/instances_train.json', f'{shapes}/train/', CLASSES, 'train'),
        (f'{shapes}/annotations/instances_val.json', f'{shapes}/val/', CLASSES, 'train'),
        (f'{shapes}/annotations/instances_val.json', None, CLASSES, 'eval'),
    ]


def test_splits(cfg, checked):
    cfg.train_dataloader = None
    check_cfg(cfg, ['train'])
    assert checked == []
    cfg.pop('test_dataloader')
    cfg.pop('test_evaluator')
    check_cfg(cfg)
    assert len(checked) == 2


def test_paths_without_data_root(cfg, shapes, checked):
    cfg.train_dataloader.dataset.update(
        data_root='',
        ann_file=f'{shapes}/annotations/instances_train.json',
        data_prefix=dict(img=f'{shapes}/train'),
    )
    check_cfg(cfg, ['train'])
    assert checked[0][:2] == (f'{shapes}/annotations/instances_train.json', f'{shapes}/train')


@pytest.mark.parametrize('type_', ['mmdet.CocoDataset', CocoDataset])
def test_wrappers(cfg, checked, type_):
    inner = cfg.train_dataloader.dataset.to_dict()
    inner['type'] = type_
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset',
        times=2,
        dataset=dict(
            type='ConcatDataset',
            datasets=[
                dict(type='ClassBalancedDataset', oversample_thr=0.1, dataset=inner),
                dict(type='MultiImageMixDataset', pipeline=[], dataset={**inner, 'ann_file': 'x'}),
            ],
        ),
    )
    assert refused(cfg, ['train']).startswith('train_dataloader: annotation file ')
    assert [call[0].rsplit('/', 1)[-1] for call in checked] == ['instances_train.json', 'x']


@pytest.mark.parametrize(
    'dataset',
    [
        dict(type='VOCDataset', ann_file='none.txt'),
        dict(type='CocoPanopticDataset', ann_file='none.json'),
        dict(type='NoSuchDataset', ann_file='none.json'),
        dict(type='CocoDataset', ann_file='none.json', backend_args=dict(backend='petrel')),
        dict(type='CocoDataset', ann_file='s3://bucket/none.json'),
        dict(type='CocoDataset', ann_file='none.json', data_root='s3://bucket'),
    ],
)
def test_others_are_passed_over(cfg, dataset, checked):
    cfg.train_dataloader = dict(dataset=dict(**dataset, metainfo=dict(classes=('x',))))
    check_cfg(cfg, ['train'])
    assert checked == []


def test_default_classes_are_the_datasets(cfg):
    del cfg.train_dataloader.dataset.metainfo
    message = refused(cfg, ['train'])
    assert message.startswith(
        'train_dataloader: 80 of 80 classes are not among the categories of annotation file'
    )
    assert "'person', 'bicycle'" in message
    assert f'no class names: {", ".join(map(repr, CLASSES))};' in message


def test_classes_from_a_file(cfg, tmp_path, checked):
    (tmp_path / 'classes.txt').write_text('\n'.join(CLASSES))
    cfg.train_dataloader.dataset.metainfo = dict(classes=str(tmp_path / 'classes.txt'))
    check_cfg(cfg, ['train'])
    assert checked[0][2] == CLASSES


def test_classes_as_a_string(cfg):
    cfg.train_dataloader.dataset.metainfo = dict(classes='circle')
    assert refused(cfg, ['train']).startswith("train_dataloader: classes is the string 'circle'")


def test_missing_images(cfg, shapes):
    cfg.train_dataloader.dataset.data_prefix.img = 'val/'
    assert refused(cfg) == (
        f'train_dataloader: 22 of 26 images listed in {shapes}/annotations/instances_train.json '
        f'are missing from {shapes}/val, e.g. 000004.png; check data_prefix or fetch the images'
    )


def test_no_image_prefix(cfg, shapes):
    cfg.train_dataloader.dataset.data_prefix = dict(img_path='train')
    assert refused(cfg) == (
        f"train_dataloader: data_prefix is {{'img_path': '{shapes}/train'}}; name the image folder "
        f"under 'img'"
    )


def test_num_classes_of_a_head(cfg):
    cfg.model.bbox_head.num_classes = 80
    assert refused(cfg) == (
        'model.bbox_head.num_classes is 80 but train_dataloader has 4 classes (circle, ring, '
        'triangle, ...); set model.bbox_head.num_classes=4'
    )


def test_num_classes_of_nested_heads(cfg):
    heads = [dict(type='Shared2FCBBoxHead', num_classes=4), dict(type='X', num_classes=3)]
    # One class, foreground, is a region proposal network's own.
    cfg.model = dict(
        detector=dict(rpn_head=dict(num_classes=1), roi_head=dict(bbox_head=heads)),
    )
    assert refused(cfg).startswith('model.detector.roi_head.bbox_head[1].num_classes is 3 but')
    heads[1]['num_classes'] = 4
    cfg.model = dict(roi_head=dict(bbox_head=heads))
    check_cfg(cfg)


def test_splits_with_other_classes(cfg):
    cfg.model = dict(type='RetinaNet')
    cfg.val_dataloader.dataset.metainfo = dict(classes=('circle', 'cross'))
    assert refused(cfg) == (
        'val_dataloader has 2 classes (circle, cross) but train_dataloader has 4 classes (circle, '
        'ring, triangle, ...); give both the same metainfo=dict(classes=...)'
    )


def test_evaluator_without_its_file(cfg, tmp_path):
    missing = tmp_path / 'none.json'
    cfg.test_evaluator[1].ann_file = str(missing)
    check_cfg(cfg, ['train', 'val'])
    assert refused(cfg) == (
        f'test_evaluator: annotation file {missing} does not exist; check data_root and ann_file'
    )
    cfg.test_evaluator = dict(type='CocoMetric', ann_file=None)
    check_cfg(cfg)


def test_evaluator_needs_iscrowd(cfg, shapes, tmp_path):
    data = json.loads((shapes / 'annotations' / 'instances_val.json').read_text())
    for ann in data['annotations']:
        del ann['iscrowd']
    (tmp_path / 'val.json').write_text(json.dumps(data))
    cfg.val_evaluator.ann_file = str(tmp_path / 'val.json')
    assert "has no 'iscrowd', which must be 0 or 1" in refused(cfg)


def test_formatting_results_needs_no_annotations(cfg, shapes, tmp_path):
    data = json.loads((shapes / 'annotations' / 'instances_val.json').read_text())
    del data['annotations']
    ann_file = tmp_path / 'test.json'
    ann_file.write_text(json.dumps(data))
    cfg.test_dataloader.dataset.ann_file = str(ann_file)
    cfg.test_evaluator = dict(type='CocoMetric', ann_file=str(ann_file), format_only=True)
    check_cfg(cfg)
    cfg.test_evaluator.format_only = False
    assert f"{ann_file} has no 'annotations'" in refused(cfg)


def test_photos_may_be_loaded_as_they_are_stored(cfg, shapes, tmp_path):
    data = json.loads((shapes / 'annotations' / 'instances_train.json').read_text())
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for image in data['images']:
        with Image.open(shapes / 'train' / image['file_name']) as stored:
            image['file_name'] = Path(image['file_name']).with_suffix('.jpg').name
            stored.save(tmp_path / image['file_name'], exif=exif)
    (tmp_path / 'train.json').write_text(json.dumps(data))
    dataset = cfg.train_dataloader.dataset
    dataset.update(data_root='', ann_file=str(tmp_path / 'train.json'))
    dataset.data_prefix = dict(img=str(tmp_path))
    assert "set color_type='color_ignore_orientation'" in refused(cfg, ['train'])
    dataset.pipeline[0]['color_type'] = 'color_ignore_orientation'
    check_cfg(cfg, ['train'])


def test_a_training_set_needs_boxes_and_one_of_several_does_not(cfg, shapes, tmp_path):
    given = json.loads((shapes / 'annotations/instances_train.json').read_text())
    empty = tmp_path / 'empty.json'
    empty.write_text(json.dumps({**given, 'annotations': []}))
    full = cfg.train_dataloader.dataset
    background = {**full, 'ann_file': str(empty)}
    cfg.train_dataloader.dataset = background
    assert f'train_dataloader: annotation file {empty} has no boxes of' in refused(cfg)
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[background, full])
    check_cfg(cfg)
