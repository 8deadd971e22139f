import json
from itertools import chain

import pytest

from mmdet_frn.datasets import DatasetError, check_coco, find_coco, write_folds, write_search_split


def read(path):
    return json.loads(path.read_text())


def boxes_by_image(ann_file, prefix=''):
    """Map each image's file to its (category name, box) pairs."""
    content = read(ann_file)
    names = {c['id']: c['name'] for c in content['categories']}
    files = {i['id']: prefix + i['file_name'] for i in content['images']}
    found = {file: [] for file in files.values()}
    for a in content['annotations']:
        found[files[a['image_id']]].append((names[a['category_id']], a['bbox']))
    return found


@pytest.fixture(scope='module')
def folds(shapes, tmp_path_factory):
    return write_folds(find_coco(shapes), 4, tmp_path_factory.mktemp('folds'))


def test_every_image_is_a_test_image_once_with_its_boxes(shapes, folds):
    tested = [boxes_by_image(fold.val_ann) for fold in folds]
    assert sum(map(len, tested)) == 30
    everything = boxes_by_image(shapes / 'annotations/instances_train.json', 'from_train/')
    everything |= boxes_by_image(shapes / 'annotations/instances_val.json', 'from_val/')
    assert dict(chain.from_iterable(t.items() for t in tested)) == everything


def test_a_fold_trains_on_the_images_of_the_others(folds):
    for fold in folds:
        train, test = boxes_by_image(fold.train_ann), boxes_by_image(fold.val_ann)
        assert len(train) + len(test) == 30
        assert not train.keys() & test.keys()
    assert {len(boxes_by_image(fold.val_ann)) for fold in folds} == {7, 8}


def test_an_image_has_one_id_in_all_folds(folds):
    ids = [
        {i['file_name']: i['id'] for path in (f.train_ann, f.val_ann) for i in read(path)['images']}
        for f in folds
    ]
    assert all(other == ids[0] for other in ids)
    assert len(set(ids[0].values())) == 30


def test_a_fold_is_a_folder_that_passes_the_data_check(folds):
    for fold in folds:
        check_coco(fold.train_ann, fold.train_img)
        check_coco(fold.val_ann, fold.val_img, purpose='eval')


def test_the_same_folds_are_written_again_and_another_seed_gives_others(shapes, folds, tmp_path):
    folder = find_coco(shapes)
    again = write_folds(folder, 4, tmp_path / 'again')
    assert [read(f.val_ann) for f in again] == [read(f.val_ann) for f in folds]
    assert write_folds(folder, 4, tmp_path / 'again') == again
    other = write_folds(folder, 4, tmp_path / 'other', seed=1)
    assert [read(f.val_ann) for f in other] != [read(f.val_ann) for f in folds]


@pytest.mark.parametrize('num_folds', [1, 31])
def test_the_number_of_folds_must_fit_the_images(shapes, tmp_path, num_folds):
    with pytest.raises(DatasetError, match=f'folds must be >= 2 and <= 30, .* got {num_folds}'):
        write_folds(find_coco(shapes), num_folds, tmp_path)


def test_category_ids_of_the_parts_may_differ_but_not_the_names(tmp_path):
    for split, categories in (('train', {1: 'dog', 2: 'cat'}), ('val', {7: 'cat', 9: 'dog'})):
        (tmp_path / split).mkdir()
        path = tmp_path / 'annotations' / f'{split}.json'
        path.parent.mkdir(exist_ok=True)
        cat = next(i for i, name in categories.items() if name == 'cat')
        box = dict(id=1, image_id=3, category_id=cat, bbox=[0, 0, 2, 2], area=4, iscrowd=0)
        content = dict(
            images=[dict(id=3, file_name='a.jpg', width=4, height=4)],
            annotations=[box],
            categories=[dict(id=i, name=name) for i, name in categories.items()],
        )
        path.write_text(json.dumps(content))
    for fold in write_folds(find_coco(tmp_path), 2, tmp_path / 'folds'):
        assert list(boxes_by_image(fold.val_ann).values()) == [[('cat', [0, 0, 2, 2])]]
    content['categories'][0]['name'] = 'cow'
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match='name different categories'):
        write_folds(find_coco(tmp_path), 2, tmp_path / 'folds')


def test_a_search_split_takes_a_quarter_of_the_training_images(folds, tmp_path):
    split = write_search_split(folds[0], tmp_path / 'split')
    train, held_out = boxes_by_image(split.train_ann), boxes_by_image(split.val_ann)
    assert train | held_out == boxes_by_image(folds[0].train_ann)
    assert not train.keys() & held_out.keys()
    assert len(held_out) == round(len(train | held_out) / 4)
    check_coco(split.val_ann, split.val_img, purpose='eval')
    again = write_search_split(folds[0], tmp_path / 'again')
    assert read(again.val_ann) == read(split.val_ann)


@pytest.mark.parametrize('part', [0, 1, 1.5])
def test_the_part_of_a_search_split_must_be_a_share(folds, tmp_path, part):
    with pytest.raises(ValueError, match=f'part must be > 0 and < 1, got {part}'):
        write_search_split(folds[0], tmp_path, part)
