import json

import helpers
import pytest

from mmdet_frn.datasets import (
    CLASSES,
    CocoFolder,
    DatasetError,
    check_coco,
    find_coco,
)


def make(root, *files):
    """Write annotation files of two categories, and folders for names that end with a slash."""
    for name in files:
        path = root / name
        if name.endswith('/'):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        data = dict(
            images=[dict(id=1, file_name='a.jpg', width=1, height=1)],
            annotations=[],
            categories=[dict(id=2, name='dog'), dict(id=5, name='cat')],
        )
        path.write_text(json.dumps(data))


def refused(root):
    return helpers.refused(find_coco, root, error=DatasetError)


@pytest.mark.parametrize(
    ('train_ann', 'train_img', 'val_ann', 'val_img'),
    [
        ('annotations/instances_train2017.json', 'train2017/',
         'annotations/instances_val2017.json', 'val2017/'),
        ('annotations/instances_train.json', 'train/', 'annotations/instances_val.json', 'val/'),
        ('annotations/train.json', 'train/', 'annotations/test.json', 'test/'),
        ('annotations/train.json', 'train/', 'annotations/valid.json', 'valid/'),
        ('annotations/train.json', 'images/train/', 'annotations/validation.json',
         'images/validation/'),
        ('train/_annotations.coco.json', 'train/', 'valid/_annotations.coco.json', 'valid/'),
    ],
)  # fmt: skip
def test_layouts(tmp_path, train_ann, train_img, val_ann, val_img):
    make(tmp_path, train_img, val_img, train_ann, val_ann)
    assert find_coco(tmp_path) == CocoFolder(
        root=tmp_path,
        train_ann=tmp_path / train_ann,
        train_img=tmp_path / train_img,
        val_ann=tmp_path / val_ann,
        val_img=tmp_path / val_img,
        classes=('dog', 'cat'),
    )


def test_all_images_in_one_folder(tmp_path):
    make(tmp_path, 'annotations/train.json', 'annotations/val.json', 'images/')
    found = find_coco(str(tmp_path))
    assert found.train_img == found.val_img == tmp_path / 'images'


def test_other_files_do_not_matter(tmp_path):
    names = [f'{kind}_{split}2017.json' for kind in ('captions', 'person_keypoints')
             for split in ('train', 'val')]  # fmt: skip
    make(tmp_path, *(f'annotations/{name}' for name in names))
    make(tmp_path, 'annotations/instances_train2017.json', 'annotations/instances_val2017.json')
    make(tmp_path, 'annotations/image_info_test2017.json', 'train2017/', 'val2017/', 'test2017/')
    assert find_coco(tmp_path).val_ann.name == 'instances_val2017.json'


def test_val_goes_before_test(tmp_path):
    for split in ('train', 'test', 'valid'):
        make(tmp_path, f'{split}/_annotations.coco.json')
    assert find_coco(tmp_path).val_img == tmp_path / 'valid'


def test_classes_are_in_the_order_of_the_labels(tmp_path):
    make(tmp_path, 'train/_annotations.coco.json', 'test/_annotations.coco.json')
    ann_file = tmp_path / 'train' / '_annotations.coco.json'
    data = json.loads(ann_file.read_text())
    data['categories'].reverse()
    ann_file.write_text(json.dumps(data))
    # check_coco refuses any order but MMDetection's.
    assert find_coco(tmp_path).classes == check_coco(ann_file, None, ['cat', 'dog']).classes


def test_no_such_folder(tmp_path):
    assert refused(tmp_path / 'none') == (
        f'data folder {tmp_path}/none does not exist; give the path of a folder'
    )


def test_nothing_fits(tmp_path):
    assert refused(tmp_path) == (
        f'{tmp_path} has no COCO-format training set: looked for '
        'annotations/[instances_]train[YEAR].json with train[YEAR]/, images/train[YEAR]/ or '
        'images/, or train/_annotations.coco.json, and the same with val, valid, validation or '
        'test; found nothing; rename or link the files to one of these'
    )
    make(tmp_path, 'annotations/mine.json', 'pictures/')
    assert 'found annotations/, annotations/mine.json, pictures/; rename' in refused(tmp_path)
    make(tmp_path, *(f'{i}/' for i in range(9)))
    assert ' and 2 more; rename' in refused(tmp_path)


def test_nothing_to_evaluate_on(tmp_path):
    make(tmp_path, 'annotations/train.json', 'train/')
    message = refused(tmp_path)
    assert message.startswith(f'{tmp_path} has no COCO-format evaluation set: looked for')
    assert 'found annotations/, annotations/train.json, train/; rename' in message


def test_ambiguous(tmp_path):
    make(tmp_path, 'annotations/instances_train2014.json', 'annotations/instances_train2017.json')
    assert refused(tmp_path) == (
        f'{tmp_path} has more than one annotation file for train: '
        'annotations/instances_train2014.json, annotations/instances_train2017.json; keep one of '
        'them there'
    )


def test_no_image_folder(tmp_path):
    make(tmp_path, 'annotations/train.json', 'pictures/')
    assert refused(tmp_path) == (
        f'the images of {tmp_path}/annotations/train.json are in none of train/, images/train/, '
        f'images/ of {tmp_path}; put them or a link to them there'
    )


def test_unusable_annotations(tmp_path):
    make(tmp_path, 'train/', 'val/', 'annotations/train.json', 'annotations/val.json')
    (tmp_path / 'annotations' / 'train.json').write_text('{')
    assert 'cannot be read as JSON' in refused(tmp_path)


def test_generated_set(shapes):
    found = find_coco(shapes)
    assert found.classes == CLASSES
    assert check_coco(found.train_ann, found.train_img, found.classes).images == 26
    assert check_coco(found.val_ann, found.val_img, found.classes).images == 4
