"""Annotation files of a trial's subsets."""

import json

import pytest
from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope

from mmdet_frn.datasets import find_coco, use_coco_folder
from mmdet_frn.table6.shrink import Scale
from mmdet_frn.table6.subset import use_subsets, write_subsets
from mmdet_frn.utils.config import load_config


@pytest.fixture
def cfg(request, tiny_shapes):
    path = 'configs/table6/retinanet_r101_fpn_frn-all_8xb2-500k_coco-1024.py'
    cfg = load_config(request.config.rootpath / path)
    use_coco_folder(cfg, find_coco(tiny_shapes))
    return cfg


def test_subset_has_the_first_images_and_their_objects(cfg, tmp_path, tiny_shapes, monkeypatch):
    monkeypatch.setattr(Scale, 'images', lambda self, split: 5 if split == 'train' else 2)
    use_subsets(cfg, Scale(0.001), tmp_path)
    assert not list(tmp_path.iterdir())
    write_subsets(cfg)
    assert len(list(tmp_path.iterdir())) == 2
    whole = json.loads((tiny_shapes / 'annotations/instances_train.json').read_text())
    ids = sorted(image['id'] for image in whole['images'])[:5]
    init_default_scope('mmdet')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))] == ids
    boxes = sum(len(dataset.get_data_info(i)['instances']) for i in range(len(dataset)))
    assert boxes == sum(a['image_id'] in ids for a in whole['annotations']) > 0
    assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.ann_file
    assert cfg.test_evaluator.ann_file == cfg.test_dataloader.dataset.ann_file


def test_an_existing_subset_is_kept(cfg, tmp_path):
    use_subsets(cfg, Scale(0.001), tmp_path)
    write_subsets(cfg)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_subsets(cfg)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


def test_the_papers_protocol_takes_all_images(cfg, tmp_path):
    before = cfg.to_dict()
    use_subsets(cfg, Scale(1), tmp_path)
    assert cfg.to_dict() == before
