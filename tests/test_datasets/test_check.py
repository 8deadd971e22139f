import json
import os
from reprlib import repr as short_repr

import helpers
import mmcv
import pytest
from PIL import ExifTags, Image

from mmdet_frn.datasets import CocoSummary, DatasetError, check_coco


@pytest.fixture
def data():
    """Two images with a box each, one of them of zero area, and one image without."""
    return dict(
        images=[
            dict(id=i, file_name=f'{name}.jpg', width=40, height=30)
            for i, name in enumerate('abc', start=7)
        ],
        annotations=[
            dict(id=1, image_id=7, category_id=3, bbox=[1, 2, 3.5, 4], area=14, iscrowd=0),
            dict(id=2, image_id=8, category_id=9, bbox=[1, 2, 0, 4], area=0, iscrowd=0),
        ],
        categories=[dict(id=3, name='cat'), dict(id=9, name='dog')],
    )


@pytest.fixture
def ann_file(tmp_path, data):
    for image in data['images']:
        Image.new('RGB', (40, 30)).save(tmp_path / image['file_name'])
    return tmp_path / 'ann.json'


def check(data, ann_file, *args, **kwargs):
    ann_file.write_text(json.dumps(data))
    return check_coco(ann_file, ann_file.parent, *args, **kwargs)


def refused(call, *args, **kwargs):
    return helpers.refused(call, *args, error=DatasetError, **kwargs)


def test_summary(data, ann_file):
    assert check(data, ann_file) == CocoSummary(
        images=3, boxes=2, images_without_boxes=1, zero_area_boxes=1, classes=('cat', 'dog')
    )


def test_a_subset_of_the_classes_is_legal(data, ann_file):
    assert check(data, ann_file, ['dog']) == CocoSummary(
        images=3, boxes=1, images_without_boxes=2, zero_area_boxes=1, classes=('dog',)
    )


def test_images_without_objects_are_legal(data, ann_file):
    data['annotations'] = []
    assert check(data, ann_file).images_without_boxes == 3


def test_missing_annotation_file(tmp_path):
    missing = tmp_path / 'none.json'
    assert refused(check_coco, missing, tmp_path) == (
        f'annotation file {missing} does not exist; check data_root and ann_file'
    )


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (None, 'Is a directory'),
        (b'', 'Expecting value: line 1 column 1'),
        (b'{"images": [\n {"id": 1,', 'line 2 column 11'),
        (b'\xff\xd8\xff\xe0', "'utf-8' codec can't decode byte 0xff in position 0"),
        (b'{"images": ' + b'9' * 5000 + b'}', 'Exceeds the limit'),
        (b'[' * 100_000, 'maximum recursion depth'),
    ],
)
def test_malformed_file(ann_file, content, reason):
    if content is None:
        ann_file.mkdir()
    else:
        ann_file.write_bytes(content)
    message = refused(check_coco, ann_file, ann_file.parent)
    assert message.startswith(f'annotation file {ann_file} cannot be read as JSON: ')
    assert reason in message


def test_file_that_is_no_object(ann_file):
    assert 'holds a list, not an object with images, annotations' in refused(check, [], ann_file)


@pytest.mark.parametrize('key', ['images', 'annotations', 'categories'])
def test_missing_key_and_key_that_is_no_list(data, ann_file, key):
    others = sorted({'images', 'annotations', 'categories'} - {key})
    assert refused(check, {**data, key: {}}, ann_file) == (
        f"'{key}' of annotation file {ann_file} must be a list, but is a dict; export the file "
        f'again'
    )
    del data[key]
    assert refused(check, data, ann_file) == (
        f"annotation file {ann_file} has no '{key}', only {others}; check that it is COCO ground "
        f'truth'
    )


def test_no_images(data, ann_file):
    data.update(images=[], annotations=[])
    assert refused(check, data, ann_file) == (
        f'annotation file {ann_file} lists no images; export it again'
    )


@pytest.mark.parametrize(
    ('key', 'field', 'value', 'kind'),
    [
        ('images', 'id', '7', 'an integer of 64 bits'),
        ('images', 'id', True, 'an integer of 64 bits'),
        ('images', 'file_name', '', 'a non-empty string'),
        ('images', 'file_name', 7, 'a non-empty string'),
        ('images', 'width', None, 'a positive number'),
        ('images', 'height', '30', 'a positive number'),
        ('categories', 'id', 3.0, 'an integer of 64 bits'),
        ('categories', 'name', None, 'a non-empty string'),
        ('annotations', 'id', None, 'an integer of 64 bits'),
        ('annotations', 'image_id', 'a', 'an integer of 64 bits'),
        ('annotations', 'category_id', [3], 'an integer of 64 bits'),
        ('annotations', 'area', float('nan'), 'a finite number'),
        ('annotations', 'bbox', [1, 2, 3], 'four finite numbers [x, y, width, height]'),
        ('annotations', 'bbox', [1, 2, 3, None], 'four finite numbers [x, y, width, height]'),
        ('annotations', 'bbox', [1, 2, 3, '4'], 'four finite numbers [x, y, width, height]'),
        ('annotations', 'bbox', [1, float('inf'), 3, 4], 'four finite numbers [x, y, width'),
        ('images', 'width', 0, 'a positive number'),
        ('images', 'height', -30, 'a positive number'),
        ('images', 'width', 10**400, 'a positive number'),
        ('images', 'id', 2**63, 'an integer of 64 bits'),
        ('annotations', 'area', 10**400, 'a finite number'),
        ('annotations', 'bbox', [1, 2, -3, 4], 'four finite numbers [x, y, width, height]'),
        ('annotations', 'bbox', [1, 2, 3, 1e308], 'four finite numbers [x, y, width, height]'),
        ('annotations', 'bbox', 'left\nright', 'four finite numbers [x, y, width, height]'),
    ],
)
def test_field_of_another_type(data, ann_file, key, field, value, kind):
    data[key][1][field] = value
    where = f'{key}[1] of annotation file {ann_file}'
    assert refused(check, data, ann_file).startswith(
        f'{where} has {field} {short_repr(value)}, which must be {kind}'
    )
    del data[key][1][field]
    assert refused(check, data, ann_file).startswith(
        f"{where} has no '{field}', which must be {kind}"
    )


@pytest.mark.parametrize(
    'bbox',
    [
        [41, 2, 3, 4],
        [1, 31, 3, 4],
        [-10, 2, 9, 4],
        [1, -10, 3, 9],
        [1, 2, 80, 4],
        [1, 2, 3, 59],
        [-41, 2, 50, 4],
        [1, 2, 1e18, 4],
    ],
)
def test_a_box_that_is_not_on_its_image(data, ann_file, bbox):
    data['annotations'][0]['bbox'] = bbox
    assert refused(check, data, ann_file) == (
        f'annotation 1 of annotation file {ann_file} has bbox {bbox}, which is not on its image of '
        f'40x30; bbox is [x, y, width, height] in pixels: correct or remove it'
    )


@pytest.mark.parametrize('bbox', [[-3, -3, 50, 40], [38, 28, 5, 5], [0, 0, 40, 30]])
def test_a_box_may_reach_over_the_edge(data, ann_file, bbox):
    data['annotations'][0]['bbox'] = bbox
    assert check(data, ann_file).boxes == 2


def test_boxes_that_all_have_no_area(data, ann_file):
    data['annotations'][0]['bbox'][3] = 0
    assert refused(check, data, ann_file).startswith(f'all 2 boxes of annotation file {ann_file} ')


def test_an_evaluation_set_without_boxes(data, ann_file):
    data['annotations'] = [data['annotations'][0]]
    assert check(data, ann_file, purpose='eval').boxes == 1
    assert 'has no boxes of the classes to evaluate' in refused(
        check, data, ann_file, ['dog'], purpose='eval'
    )


@pytest.mark.parametrize(
    ('spoil', 'problem'),
    [
        (lambda content: b'', 'cannot be decoded: no image that Pillow knows; replace it'),
        (lambda content: b'a page of text', 'cannot be decoded: no image that Pillow knows; '),
        (lambda content: content[:-30], 'cannot be decoded: '),
    ],
)
def test_an_image_that_is_damaged(data, ann_file, spoil, problem):
    path = ann_file.parent / 'c.jpg'
    path.write_bytes(spoil(path.read_bytes()))
    message = refused(check, data, ann_file)
    assert message.startswith(f'image {path} listed in {ann_file} {problem}')


@pytest.mark.parametrize(
    ('size', 'problem'),
    [((30, 40), 'width and height are swapped'), ((20, 15), 'the size is wrong')],
)
def test_an_image_of_another_size(data, ann_file, size, problem):
    data['images'][0].update(width=size[0], height=size[1])
    data['annotations'] = data['annotations'][1:]
    data['annotations'][0]['bbox'][2] = 1
    assert refused(check, data, ann_file) == (
        f'image {ann_file.parent}/a.jpg is 40x30 as MMDetection loads it, but {size[0]}x{size[1]} '
        f'in {ann_file}: {problem}; correct width and height there, or the image'
    )


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_photo_that_exif_turns(data, ann_file, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = ann_file.parent / 'a.jpg'
    Image.new('RGB', (40, 30)).save(path, exif=exif)
    if mmcv.imread(path).shape == (30, 40, 3):
        assert orientation < 5
        check(data, ann_file)
    else:
        assert orientation >= 5
        message = refused(check, data, ann_file)
        assert message.startswith(f'image {path} is 30x40 as MMDetection loads it, but 40x30 in ')
        assert 'EXIF orientation turns it' in message
    assert mmcv.imread(path, flag='color_ignore_orientation').shape == (30, 40, 3)
    check(data, ann_file, use_exif=False)


def test_a_sample_is_decoded_or_all(data, ann_file):
    (ann_file.parent / 'b.jpg').write_bytes(b'')
    assert check(data, ann_file, sample=2).images == 3
    for sample in (3, 99, None):
        assert 'b.jpg listed in' in refused(check, data, ann_file, sample=sample)


def test_entry_that_is_no_object(data, ann_file):
    data['images'][2] = 'c.jpg'
    assert refused(check, data, ann_file) == (
        f"images[2] of annotation file {ann_file} must be an object, but is 'c.jpg'; correct or "
        f'remove it'
    )


@pytest.mark.parametrize(('field', 'key'), [('image_id', 'images'), ('category_id', 'categories')])
def test_unknown_id(data, ann_file, field, key):
    data['annotations'][1][field] = 999
    assert refused(check, data, ann_file) == (
        f'annotation 2 of annotation file {ann_file} has {field} 999, which is not among its '
        f'{key}; add it there or remove the annotation'
    )


@pytest.mark.parametrize(
    ('key', 'field'),
    [('images', 'id'), ('annotations', 'id'), ('categories', 'id'), ('categories', 'name')],
)
def test_duplicates(data, ann_file, key, field):
    value = data[key][1][field] = data[key][0][field]
    assert refused(check, data, ann_file) == (
        f'{key} of annotation file {ann_file} has {field} {value!r} more than once; give each '
        f'its own'
    )


def test_missing_images(data, ann_file):
    (ann_file.parent / 'a.jpg').unlink()
    (ann_file.parent / 'b.jpg').unlink()
    folder = ann_file.parent
    assert refused(check, data, ann_file) == (
        f'2 of 3 images listed in {ann_file} are missing from {folder}, e.g. a.jpg; check '
        f'data_prefix or fetch the images'
    )


def test_image_that_is_a_folder_or_a_broken_link(data, ann_file):
    for name in 'ab':
        (ann_file.parent / f'{name}.jpg').unlink()
    (ann_file.parent / 'a.jpg').mkdir()
    (ann_file.parent / 'b.jpg').symlink_to('gone.jpg')
    assert refused(check, data, ann_file).startswith('2 of 3 images')


def test_missing_image_folder(data, ann_file):
    check(data, ann_file)
    folder = ann_file.parent / 'none'
    assert refused(check_coco, ann_file, folder) == (
        f'image folder {folder} of annotation file {ann_file} does not exist; check data_root '
        f'and data_prefix'
    )


def test_images_in_subfolders_and_by_absolute_path(data, ann_file):
    folder = ann_file.parent / 'sub' / 'sub'
    folder.mkdir(parents=True)
    (ann_file.parent / 'a.jpg').rename(folder / 'a.jpg')
    data['images'][0]['file_name'] = 'sub/sub/a.jpg'
    data['images'][1]['file_name'] = str(ann_file.parent / 'b.jpg')
    assert check(data, ann_file).images == 3
    data['images'][0]['file_name'] = 'nowhere/a.jpg'
    assert 'e.g. nowhere/a.jpg' in refused(check, data, ann_file)


def test_working_folder_and_no_folder(data, ann_file, monkeypatch):
    check(data, ann_file)
    monkeypatch.chdir(ann_file.parent)
    assert check_coco('ann.json', '').images == 3
    (ann_file.parent / 'a.jpg').unlink()
    assert 'are missing from ., e.g. a.jpg' in refused(check_coco, 'ann.json', '')
    assert check_coco('ann.json', None).images == 3


def test_folders_are_listed_once(data, ann_file, monkeypatch):
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, 'scandir', lambda path: listed.append(path) or scandir(path))
    check(data, ann_file)
    assert listed == [ann_file.parent]


def test_class_absent_from_the_annotations(data, ann_file):
    assert refused(check, data, ann_file, ('cat', 'horse', 'cow')) == (
        f"2 of 3 classes are not among the categories of annotation file {ann_file}: 'horse', "
        f"'cow'; its categories that no class names: 'dog'; set metainfo=dict(classes=...) to the "
        f'names in the file'
    )
    many = [f'class{i}' for i in range(9)]
    assert "'class4' and 4 more; its" in refused(check, data, ann_file, many)
    assert 'no class names: none; set' in refused(check, data, ann_file, ('cat', 'dog', 'cow'))


def test_classes_in_another_order(data, ann_file):
    assert refused(check, data, ann_file, ('dog', 'cat')) == (
        f"class 0 is 'dog' but label 0 of annotation file {ann_file} is 'cat': MMDetection "
        f'numbers the labels in the order of the file; write the classes in that order'
    )


def test_classes_as_a_string_or_repeated(data, ann_file):
    assert refused(check, data, ann_file, 'cat') == (
        "classes is the string 'cat', but must be a tuple of names; write classes=('cat',)"
    )
    assert refused(check, data, ann_file, ('cat', 'cat')) == (
        "classes has 'cat' more than once; name each once"
    )


def test_evaluation_needs_iscrowd(data, ann_file):
    del data['annotations'][1]['iscrowd']
    assert check(data, ann_file).boxes == 2
    assert refused(check, data, ann_file, purpose='eval').startswith(
        f"annotations[1] of annotation file {ann_file} has no 'iscrowd', which must be 0 or 1"
    )


def test_prediction_needs_no_annotations(data, ann_file):
    del data['annotations']
    assert check(data, ann_file, purpose='predict').images_without_boxes == 3
