"""Pooled AP, paired differences and what they can show, on detections made by hand."""

import json

import numpy as np
import pytest

from mmdet_frn.experiments.bootstrap import average_precision, match, pool
from mmdet_frn.experiments.differences import bootstrap
from mmdet_frn.experiments.results import read_rows
from mmdet_frn.experiments.table import make_table


@pytest.fixture
def finished(make_run, tiny_shapes):
    """Return a function that makes a finished run whose detections are the objects, moved."""

    def make(norm, seed, *, moved, part='val', fold=None):
        ann_file = tiny_shapes / 'annotations' / f'instances_{part}.json'
        rng = np.random.default_rng([seed, moved])
        found = [
            dict(
                image_id=a['image_id'],
                category_id=a['category_id'],
                bbox=(np.array(a['bbox']) + rng.normal(0, moved, 4)).tolist(),
                score=float(rng.random()),
            )
            for a in json.loads(ann_file.read_text())['annotations']
        ]
        ap = average_precision(match(ann_file, found), np.ones((1, len(images(ann_file)))))[0]
        run = make_run(norm, 8, None, seed=seed, fold=fold, ap=ap.mean())
        run.cfg.test_dataloader.dataset = dict(ann_file=str(ann_file))
        (run.folder / 'predictions.bbox.json').write_text(json.dumps(found))
        return run

    return make


def images(ann_file):
    return json.loads(ann_file.read_text())['images']


def compared(runs, samples=200):
    return bootstrap(make_table(read_rows(runs)), samples)


def test_differences_are_the_means_of_the_seeds_and_repeat(finished):
    seeds = range(6)
    runs = [finished(norm, s, moved=m) for norm, m in (('GN', 4), ('FRN', 1)) for s in seeds]
    result = compared(runs)
    gn, frn = ([row.percent('AP') for row in read_rows(part)] for part in (runs[:6], runs[6:]))
    pooled = {row[0]: row[2] for row in result.pooled_rows()[1:]}
    assert pooled['GN'].startswith(f'{np.mean(gn):.1f} [')
    ((name, column, ap, _, higher, p),) = result.difference_rows()[1:]
    assert (name, column, higher, p) == ('FRN - GN', '8', '6 of 6', '0.031')
    assert ap.startswith(f'{np.mean(frn) - np.mean(gn):+.1f} [+')
    low, high = (float(end) for end in ap[ap.index('[') + 1 : -1].split(', '))
    assert low < np.mean(frn) - np.mean(gn) < high
    again = compared(runs)
    assert again.pooled_rows() == result.pooled_rows()
    assert again.difference_rows() == result.difference_rows()
    assert 'smallest two-sided p is 0.031, so the sign of a difference can be' in result.note()
    assert '4 test images' in result.note()


def test_a_norm_beside_itself_differs_by_nothing(finished):
    runs = [finished(norm, s, moved=2) for norm in ('BN', 'FRN') for s in (0, 1)]
    result = compared(runs)
    (row,) = result.difference_rows()[1:]
    assert row[2] == '+0.0 [+0.0, +0.0]'
    assert row[4:] == ['0 of 2', '1']
    assert 'cannot be' in result.note()


def test_folds_of_a_seed_are_one_set_of_test_images(finished, tiny_shapes):
    parts = {'train': 0, 'val': 1}
    runs = [finished('GN', 0, moved=2, part=part, fold=fold) for part, fold in parts.items()]
    result = compared(runs)
    assert result.images == 12
    matches = [match(row.run.annotations, row.detections()) for row in read_rows(runs)]
    ap = average_precision(pool(matches), np.ones((1, 12)))[0].mean()
    assert result.pooled_rows()[1][2].startswith(f'{100 * ap:.1f} [')
    assert '2 folds put together' in result.note()
    # One fold more of another seed is not a set of all images.
    result = compared([*runs, finished('GN', 1, moved=2, part='train', fold=0)])
    assert result.problems == [
        'GN, 8 images/GPU, seed 1, fold 0: not all folds are finished; left out of the intervals'
    ]
    assert result.pooled_rows()[1][-1] == '1'


def test_folds_may_have_a_seed_each(finished):
    parts = {'train': 0, 'val': 1}
    runs = [
        finished(norm, fold, moved=moved, part=part, fold=fold)
        for norm, moved in (('GN', 4), ('FRN', 1))
        for part, fold in parts.items()
    ]
    result = compared(runs)
    assert result.problems == []
    assert result.images == 12
    assert [row[-1] for row in result.pooled_rows()[1:]] == ['1', '1']
    (difference,) = result.difference_rows()[1:]
    assert difference[4] == '2 of 2'
    # Until all norms have a fold it is left out, for all of them.
    result = compared(runs[:3])
    assert result.images == 8
    assert result.problems == [
        'GN, 8 images/GPU, seed 1, fold 1: not all folds are finished; left out of the intervals'
    ]


def test_unreadable_predictions_cost_their_own_seed_alone(finished):
    runs = [finished('GN', s, moved=2) for s in (0, 1)]
    (runs[1].folder / 'predictions.bbox.json').write_text('[{"image_id"')
    result = compared(runs)
    assert result.pooled_rows()[1][-1] == '1'
    assert result.problems[0].startswith('GN, 8 images/GPU, seed 1: unreadable: predictions')


def test_the_same_trouble_of_several_runs_is_one_line(finished, monkeypatch):
    def fail(*_):
        raise OSError('no annotations')

    monkeypatch.setattr('mmdet_frn.experiments.differences.match', fail)
    result = compared([finished('GN', s, moved=2) for s in (0, 1, 2)])
    assert result.problems == ['GN, 8 images/GPU, seed 0 and 2 more: unreadable: no annotations']
