"""AP of resampled images against pycocotools on a set in which they are really repeated."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_frn.experiments.bootstrap import IOUS, average_precision, match, pool, resample

IMAGES, CLASSES = 12, 3


def boxes(rng, number):
    corner, size = rng.uniform(0, 60, (number, 2)), rng.uniform(5, 40, (number, 2))
    return np.concatenate([corner, size], axis=1).round(2).tolist()


@pytest.fixture(scope='module')
def truth():
    """A set with crowds, images without objects, and a class that few images have."""
    rng = np.random.default_rng(0)
    annotations = []
    for image in range(1, IMAGES):
        for box in boxes(rng, rng.integers(1, 6)):
            category = int(rng.choice([1, 2, 3], p=[0.6, 0.35, 0.05]))
            crowd = int(rng.random() < 0.1)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    category_id=category,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=crowd,
                )
            )
    images = [dict(id=i, width=100, height=100, file_name=f'{i}.png') for i in range(IMAGES)]
    categories = [dict(id=i, name=str(i)) for i in range(1, CLASSES + 1)]
    return dict(images=images, annotations=annotations, categories=categories)


@pytest.fixture(scope='module')
def detections(truth):
    """Boxes near the objects and elsewhere."""
    rng = np.random.default_rng(1)
    found = []
    for annotation in truth['annotations']:
        near = np.array(annotation['bbox']) + rng.normal(0, 2, 4)
        near[2:] = np.maximum(near[2:], 1)
        found.append((annotation['image_id'], annotation['category_id'], near.tolist()))
    for image in range(IMAGES):
        found += [(image, int(rng.integers(1, 4)), box) for box in boxes(rng, 4)]
    return [
        dict(image_id=image, category_id=category, bbox=box, score=float(score))
        for (image, category, box), score in zip(found, rng.permutation(len(found)), strict=True)
    ]


def coco_ap(truth, detections):
    """AP at each threshold by pycocotools."""
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(detections), 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval['precision'][:, :, :, 0, -1]
    return np.array([p[p > -1].mean() for p in precision])


def repeated(truth, detections, counts):
    """The set with each image as often as ``counts`` says, under ids of its own."""
    images, annotations, found = [], [], []
    for image, count in zip(truth['images'], counts, strict=True):
        for _ in range(count):
            new = len(images)
            images.append(dict(image, id=new))
            annotations += [
                dict(a, image_id=new) for a in truth['annotations'] if a['image_id'] == image['id']
            ]
            found += [dict(d, image_id=new) for d in detections if d['image_id'] == image['id']]
    annotations = [dict(a, id=i) for i, a in enumerate(annotations, 1)]
    return dict(truth, images=images, annotations=annotations), found


def save(content, path):
    path.write_text(json.dumps(content))
    return path


def test_ap_is_that_of_pycocotools(truth, detections, tmp_path):
    matches = match(save(truth, tmp_path / 'truth.json'), detections)
    ap = average_precision(matches, np.ones((1, IMAGES), int))[0]
    np.testing.assert_allclose(ap, coco_ap(truth, detections), rtol=0, atol=1e-14)
    assert 0.1 < ap.mean() < 0.9
    assert IOUS['AP50'] == slice(0, 1)


def test_a_weight_counts_an_image_that_often(truth, detections, tmp_path):
    matches = match(save(truth, tmp_path / 'truth.json'), detections)
    weights = resample(IMAGES, 30)
    found = average_precision(matches, weights)
    assert (weights == 0).any()
    expected = [coco_ap(*repeated(truth, detections, counts)) for counts in weights]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_folds_put_together_are_the_whole_set(truth, detections, tmp_path):
    parts = []
    for k in range(2):
        inside = {image['id'] for image in truth['images'] if image['id'] % 2 == k}
        part = dict(
            truth,
            images=[i for i in truth['images'] if i['id'] in inside],
            annotations=[a for a in truth['annotations'] if a['image_id'] in inside],
        )
        found = [d for d in detections if d['image_id'] in inside]
        parts.append(match(save(part, tmp_path / f'{k}.json'), found))
    ap = average_precision(pool(parts), np.ones((1, IMAGES), int))[0]
    np.testing.assert_allclose(ap, coco_ap(truth, detections), rtol=0, atol=1e-14)


def test_no_detection_at_all_is_zero(truth, tmp_path):
    matches = match(save(truth, tmp_path / 'truth.json'), [])
    assert not average_precision(matches, resample(IMAGES, 3)).any()


def test_resampling_is_the_same_every_time():
    first = resample(100, 50)
    np.testing.assert_array_equal(first, resample(100, 50))
    assert (first[0] == 1).all()
    assert (first.sum(axis=1) == 100).all()
    assert first[1:].std() > 0.5
