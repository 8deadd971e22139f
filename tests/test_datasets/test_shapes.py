import json
import runpy
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_frn.datasets import CLASSES, DatasetError, check_coco, write_shapes
from mmdet_frn.datasets.drawing import draw_image

TOOL = Path(__file__).parents[2] / 'tools' / 'make_shapes.py'


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def annotations(root, split='train'):
    return json.loads((root / 'annotations' / f'instances_{split}.json').read_text())


def test_is_a_coco_set(shapes):
    for split, count in (('train', 26), ('val', 4)):
        ann_file = shapes / 'annotations' / f'instances_{split}.json'
        summary = check_coco(ann_file, shapes / split, CLASSES, purpose='eval')
        assert summary.images == count
        assert summary.classes == CLASSES
        assert summary.zero_area_boxes == 0
        for image in annotations(shapes, split)['images']:
            pixels = cv2.imread(str(shapes / split / image['file_name']))
            assert pixels.shape == (64, 96, 3) == (image['height'], image['width'], 3)
    assert set(annotations(shapes)) == {
        'info', 'licenses', 'images', 'annotations', 'categories'
    }  # fmt: skip


def test_every_25th_image_is_empty(shapes):
    objects = Counter(ann['image_id'] for ann in annotations(shapes)['annotations'])
    assert [i for i in range(1, 27) if not objects[i]] == [25]
    assert (min(objects.values()), max(objects.values())) == (3, 8)


def test_boxes_and_areas_are_those_of_the_masks(shapes):
    coco = COCO(shapes / 'annotations' / 'instances_train.json')
    for ann in coco.anns.values():
        mask = coco.annToMask(ann)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        x, y, w, h = ann['bbox']
        assert (x, y) == (columns[0], rows[0])
        assert (x + w, y + h) == (columns[-1] + 1, rows[-1] + 1)
        assert ann['area'] == mask.sum()


def test_masks_are_where_the_image_changed():
    for seed in range(20):
        size = (128, 96)
        without, none = draw_image(np.random.default_rng(seed), size, 0)
        with_shape, objects = draw_image(np.random.default_rng(seed), size, 1)
        assert none == []
        [(_, mask)] = objects
        # Until the first object both are the same; the noise differs, which the median removes.
        change = np.linalg.norm(with_shape.astype(np.float32) - without, axis=2)
        changed = cv2.medianBlur(change, 3) > 40
        grown = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0
        shrunk = cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0
        # A pixel or two of noise aside.
        assert (changed & ~grown).sum() <= 2
        assert (shrunk & ~changed).sum() <= 2


def test_sizes_span_small_to_large():
    sides = []
    for seed in range(60):
        for _, mask in draw_image(np.random.default_rng(seed), (128, 128), 5)[1]:
            sides.append(max(np.ptp(np.argwhere(mask), axis=0) + 1) / 128)
    counts = np.histogram(sides, bins=[0, 0.28, 0.42, 1])[0]
    assert counts.min() > 0.1 * len(sides)


def test_classes_are_balanced():
    labels = Counter()
    for seed in range(60):
        labels.update(label for label, _ in draw_image(np.random.default_rng(seed), (96, 96), 5)[1])
    assert set(labels) == set(range(len(CLASSES)))
    assert max(labels.values()) < 2 * min(labels.values())


def test_colour_does_not_give_the_class_away():
    colours = {label: [] for label in range(len(CLASSES))}
    for seed in range(80):
        image, objects = draw_image(np.random.default_rng(seed), (96, 96), 5)
        for label, mask in objects:
            colours[label].append(image[mask].mean(axis=0))
    means = np.stack([np.mean(values, axis=0) for values in colours.values()])
    spreads = np.stack([np.std(values, axis=0) for values in colours.values()])
    assert np.ptp(means, axis=0).max() < spreads.min()


def test_is_bit_identical_on_repeat(shapes, tmp_path):
    again = write_shapes(tmp_path / 'again', 26, 4, image_size=(64, 96))
    assert contents(again) == contents(shapes)


def test_growing_keeps_the_first_images(shapes, tmp_path):
    fewer = write_shapes(tmp_path / 'fewer', 5, 2, image_size=(64, 96))
    many, few = contents(shapes), contents(fewer)
    images = [name for name in few if name.endswith('.png')]
    assert len(images) == 7
    assert all(few[name] == many[name] for name in images)
    count = len(annotations(fewer)['annotations'])
    assert annotations(fewer)['annotations'] == annotations(shapes)['annotations'][:count]


def test_seed_and_split_change_the_images(shapes, tmp_path):
    other = write_shapes(tmp_path / 'other', 1, 1, image_size=(64, 96), seed=1)
    first = 'train/000000.png'
    assert contents(other)[first] != contents(shapes)[first]
    assert contents(shapes)[first] != contents(shapes)['val/000000.png']


def test_second_call_returns_without_writing(shapes):
    before = {path: path.stat().st_mtime_ns for path in shapes.rglob('*')}
    assert write_shapes(shapes, 26, 4, image_size=(64, 96)) == shapes
    assert {path: path.stat().st_mtime_ns for path in shapes.rglob('*')} == before


def test_other_arguments_are_refused(shapes):
    before = contents(shapes)
    with pytest.raises(DatasetError) as error:
        write_shapes(shapes, 27, 4, image_size=(64, 96), seed=3)
    assert str(error.value) == (
        f'{shapes} holds a set made with num_train=26, seed=0, not num_train=27, seed=3; choose '
        f'another folder, or remove this one to have it written anew'
    )
    assert contents(shapes) == before


@pytest.mark.parametrize('manifest', [None, '{', '[]', '{"generator": "other"}'])
def test_a_folder_of_others_is_refused(tmp_path, manifest):
    (tmp_path / 'mine.txt').write_text('keep me')
    if manifest:
        (tmp_path / 'dataset.json').write_text(manifest)
    with pytest.raises(DatasetError, match='exists and is not a generated set of shapes; choose'):
        write_shapes(tmp_path, 1, 1)
    assert (tmp_path / 'mine.txt').read_text() == 'keep me'


def test_an_empty_folder_is_used(tmp_path):
    root = tmp_path / 'a' / 'shapes'
    root.mkdir(parents=True)
    assert (write_shapes(root, 1, 1, image_size=32) / 'dataset.json').is_file()


def test_an_interrupted_run_leaves_nothing_and_is_repeated(tmp_path, monkeypatch):
    calls = []

    def interrupted(path, *args):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return True

    with monkeypatch.context() as patch:
        patch.setattr(cv2, 'imwrite', interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_shapes(tmp_path / 'shapes', 4, 1)
    assert list(tmp_path.iterdir()) == []
    # What a killed run leaves behind.
    (tmp_path / '.shapes.0.tmp' / 'train').mkdir(parents=True)
    write_shapes(tmp_path / 'shapes', 4, 1, image_size=32)
    assert len(list((tmp_path / 'shapes' / 'train').iterdir())) == 4


def test_two_processes_may_write_the_same_set(shapes, tmp_path, monkeypatch):
    root = tmp_path / 'shapes'
    rename = Path.rename

    def second_to_finish(path, target):
        monkeypatch.setattr(Path, 'rename', rename)
        write_shapes(root, 2, 1, image_size=32)
        return rename(path, target)

    monkeypatch.setattr(Path, 'rename', second_to_finish)
    assert write_shapes(root, 2, 1, image_size=32) == root
    assert [path.name for path in tmp_path.iterdir()] == ['shapes']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_train=0), 'num_train must be at least 1, but is 0'),
        (dict(num_val=0), 'num_val must be at least 1, but is 0'),
        (dict(image_size=(160, 31)), 'image_size must be at least 32, but is 31'),
        (dict(seed=-1), 'seed must be at least 0, but is -1'),
        (dict(max_objects=0), 'max_objects must be at least 1, but is 0'),
    ],
)
def test_arguments_out_of_range(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_shapes(tmp_path / 'shapes', **arguments)
    assert not (tmp_path / 'shapes').exists()


def test_an_unwritable_image_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imwrite', lambda *args: False)
    with pytest.raises(OSError, match='cannot write'):
        write_shapes(tmp_path / 'shapes', 1, 1)


def test_perfect_detections_have_ap_1(shapes):
    truth = COCO(shapes / 'annotations' / 'instances_val.json')
    results = truth.loadRes(
        [
            dict(
                image_id=ann['image_id'],
                category_id=ann['category_id'],
                bbox=ann['bbox'],
                score=0.9,
            )
            for ann in truth.anns.values()
        ]
    )
    evaluation = COCOeval(truth, results, 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_loads_in_mmdet(shapes):
    register_all_modules()
    dataset = DATASETS.build(
        dict(
            type='CocoDataset',
            data_root=str(shapes),
            ann_file='annotations/instances_train.json',
            data_prefix=dict(img='train/'),
            metainfo=dict(classes=CLASSES),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                dict(type='PackDetInputs'),
            ],
        )
    )
    assert len(dataset) == 26
    by_image = {i: [] for i in range(1, 27)}
    for ann in annotations(shapes)['annotations']:
        by_image[ann['image_id']].append(ann)
    for item in dataset:
        truth = item['data_samples'].gt_instances
        anns = by_image[item['data_samples'].img_id]
        assert item['inputs'].shape == (3, 64, 96)
        boxes = np.array([ann['bbox'] for ann in anns]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        np.testing.assert_array_equal(truth.bboxes.numpy(), boxes)
        assert truth.labels.tolist() == [ann['category_id'] - 1 for ann in anns]
        assert truth.masks.areas.tolist() == [ann['area'] for ann in anns]


def run_tool(monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', ['make_shapes.py', *map(str, args)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'shapes'
    run_tool(monkeypatch, out, '--train', 2, '--val', 1, '--size', 32, '--seed', 5)
    assert capsys.readouterr().out == f'{out}: 2 training and 1 validation images\n'
    assert contents(out) == contents(write_shapes(tmp_path / 'same', 2, 1, 32, seed=5))

    with pytest.raises(SystemExit) as stop:
        run_tool(monkeypatch, out, '--train', 3)
    assert stop.value.code.startswith(f'make_shapes: {out} holds a set made with num_train=2')
    assert len(stop.value.code.splitlines()) == 1
