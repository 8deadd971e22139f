"""The whole of it on a tiny COCO: checked, fetched, and found damaged."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmdet_frn.datasets.coco2017 import prepare as module
from mmdet_frn.utils.errors import UsageError

TOOL = Path(__file__).parents[3] / 'tools' / 'prepare_coco.py'
ARCHIVES = ['annotations/annotations_trainval2017.zip', 'zips/train2017.zip', 'zips/val2017.zip']


def files_of(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob('*') if p.is_file())


def test_everything_is_fetched_once(prepare, served, tmp_path):
    status, said = prepare(download=True)
    assert status == 0
    assert sorted(served.paths()) == ARCHIVES
    root = tmp_path / 'coco'
    assert said[-5:] == [
        f'good: {root}/annotations/instances_train2017.json: 20 images, 20 annotations, '
        f'1 categories',
        f'good: {root}/train2017: all 20 images of the annotations',
        f'good: {root}/annotations/instances_val2017.json: 4 images, 4 annotations, 1 categories',
        f'good: {root}/val2017: all 4 images of the annotations',
        f'{root}: complete',
    ]
    files = files_of(root)
    assert len(files) == 1 + 2 + 20 + 4
    assert files[0] == '.prepare_coco.lock'
    assert prepare(download=True) == (0, said[-5:])
    assert len(served.requests) == 3


def test_keep_zips_and_splits(prepare, served, tmp_path):
    assert prepare(download=True, keep_zips=True, splits=['val'])[0] == 0
    assert sorted(served.paths()) == [ARCHIVES[0], ARCHIVES[2]]
    root = tmp_path / 'coco'
    assert (root / 'val2017.zip').is_file()
    assert not (root / 'train2017').exists()
    shutil.rmtree(root / 'val2017')
    status, said = prepare(download=True, splits=['val'])
    assert (status, said[0]) == (0, f'val2017.zip: using {root}/val2017.zip')
    assert len(served.requests) == 2
    # Kept once is kept: this run did not bring it.
    assert (root / 'val2017.zip').is_file()


def test_what_is_missing_is_said(prepare, root, served):
    for name in ('000000000003.jpg', '000000000005.jpg'):
        (root / 'train2017' / name).unlink()
    (root / 'annotations' / 'instances_val2017.json').unlink()
    (root / 'val2017' / '000000000100.jpg').unlink()
    status, said = prepare()
    assert status == 1
    assert [line for line in said if line.startswith('bad: ')] == [
        f'bad: 2 of 20 images are missing from {root}/train2017: 000000000003.jpg, '
        f'000000000005.jpg; fetch with --download',
        f'bad: {root}/annotations/instances_val2017.json is missing; fetch with --download',
        f'bad: {root}/val2017 has 3 of 4 images; fetch with --download',
    ]
    assert said[-1] == f'{root}: 3 problems'
    assert len(served.requests) == 3
    assert prepare(download=True)[0] == 0


def test_images_that_only_the_fetched_annotations_show_to_be_missing(prepare, root):
    (root / 'annotations' / 'instances_val2017.json').unlink()
    (root / 'val2017' / '000000000100.jpg').rename(root / 'val2017' / 'mine.jpg')
    assert prepare(download=True)[0] == 0
    assert len(list((root / 'val2017').iterdir())) == 5


def test_other_annotations_are_left(prepare, root, served):
    ann_file = root / 'annotations' / 'instances_val2017.json'
    data = json.loads(ann_file.read_text())
    data['annotations'].pop()
    ann_file.write_text(json.dumps(data))
    status, said = prepare(download=True)
    assert status == 1
    assert (
        f'bad: {ann_file} is not the released one: it has 3 annotations, not 4; move it away and '
        f'fetch with --download'
    ) in said
    ann_file.write_text('{')
    status, said = prepare(download=True)
    assert 'is not valid JSON' in next(line for line in said if line.startswith('bad: '))
    assert ann_file.read_text() == '{'
    assert len(served.requests) == 3


def test_deep_finds_a_truncated_image_and_a_wrong_size(prepare, root):
    assert prepare(deep=True, workers=2)[1][-1] == f'{root}: complete, and every image decodes'
    cut, other, empty = (root / 'train2017' / f'{i:012d}.jpg' for i in (3, 5, 7))
    cut.write_bytes(cut.read_bytes()[:-300])
    Image.new('RGB', (41, 30)).save(other)
    empty.write_bytes(b'')
    assert prepare()[0] == 0
    status, said = prepare(deep=True, workers=2)
    assert status == 1
    bad = [line for line in said if line.startswith('bad: ')]
    assert len(bad) == 3
    assert bad[0].startswith(f'bad: {cut} cannot be decoded (image file is truncated')
    assert bad[1] == (
        f'bad: {other} is 41x30, but 40x30 in the annotations; remove it and fetch with --download'
    )
    assert bad[2].startswith(f'bad: {empty} cannot be decoded (no image that Pillow knows)')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(splits=['test']), r"--splits must be of train, val, but has \['test'\]"),
        (dict(deep=True, workers=0), '--workers must be at least 1, but is 0'),
        (dict(workers=3), '--workers 3 needs --deep'),
        (dict(keep_zips=True), '--keep-zips needs --download'),
        (dict(base_url='http://x'), '--base-url http://x needs --download'),
        (dict(base_url='ftp://x', download=True), 'http:// or https://, but is ftp://x'),
        (dict(base_url='http://', download=True), 'http:// or https://, but is http://'),
        (dict(), 'coco does not exist; name the folder of COCO, or add --download'),
    ],
)
def test_wrong_arguments(prepare, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        prepare(**options)
    assert not (tmp_path / 'coco').exists()


def test_root_that_is_a_file(prepare, tmp_path):
    (tmp_path / 'coco').touch()
    with pytest.raises(UsageError, match='coco is no folder; name one'):
        prepare()


def test_tool(root, table, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['prepare_coco.py', *arguments])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(TOOL), run_name='__main__')
        return stop.value.code

    monkeypatch.setattr(module, 'COCO2017', table)
    monkeypatch.setenv('MMDET_FRN_DATA_ROOT', str(tmp_path))
    assert run('--splits', 'val', '--deep') == 0
    assert f'{root}: complete, and every image decodes' in capsys.readouterr().out
    assert run('--root', str(tmp_path / 'none')) == 2
    assert capsys.readouterr().err.startswith(f'error: --root {tmp_path}/none does not exist')
    (root / 'val2017' / '000000000100.jpg').unlink()
    assert run() == 1
    assert run('--splits', 'vall') == 2
