"""The whole of it on a tiny COCO: checked, downloaded, and found damaged."""

import json
import os
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmdet_frn.datasets.coco2017 import prepare as module

from .conftest import ZIPS

TOOL = Path(__file__).parents[3] / 'tools' / 'prepare_coco.py'


def files_of(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob('*') if p.is_file())


def bad(said):
    return [line.removeprefix('bad: ') for line in said if line.startswith('bad: ')]


def test_everything_is_downloaded_once(prepare, served, tmp_path):
    status, said = prepare(download=True)
    assert status == 0
    assert [path for path, _ in served.requests] == ZIPS
    root = tmp_path / 'coco'
    assert said[-5:] == [
        f'good: {root}/annotations/instances_train2017.json: 20 images, 20 annotations, '
        f'1 categories',
        f'good: {root}/train2017: all images',
        f'good: {root}/annotations/instances_val2017.json: 4 images, 4 annotations, 1 categories',
        f'good: {root}/val2017: all images',
        f'{root}: complete',
    ]
    files = files_of(root)
    assert len(files) == 1 + 2 + 20 + 4
    assert prepare(download=True) == (0, said[-5:])
    assert len(served.requests) == 3


def test_splits_and_another_server(prepare, served, tmp_path):
    assert prepare('val', base_url=f'{served.url}/')[0] == 0
    assert [path for path, _ in served.requests] == [ZIPS[0], ZIPS[2]]
    assert not (tmp_path / 'coco' / 'train2017').exists()


def test_what_is_missing_is_said_and_downloaded(prepare, root, served):
    for name in ('000000000003.jpg', '000000000005.jpg'):
        (root / 'train2017' / name).unlink()
    (root / 'annotations' / 'instances_val2017.json').unlink()
    (root / 'val2017' / '000000000100.jpg').rename(root / 'val2017' / 'mine.txt')
    status, said = prepare()
    assert status == 1
    assert bad(said) == [
        f'2 images are missing from {root}/train2017: 000000000003.jpg, 000000000005.jpg; add '
        f'--download',
        f'{root}/annotations/instances_val2017.json is missing; add --download',
        f'1 images are missing from {root}/val2017: ...; add --download',
    ]
    assert said[-1] == f'{root}: 3 problems'
    assert len(served.requests) == 3
    assert prepare(download=True)[0] == 0


def test_images_that_only_the_new_annotations_show_to_be_missing(prepare, root):
    (root / 'annotations' / 'instances_val2017.json').unlink()
    (root / 'val2017' / '000000000100.jpg').rename(root / 'val2017' / 'mine.jpg')
    assert prepare(download=True)[0] == 0
    assert len(list((root / 'val2017').iterdir())) == 5


def test_other_annotations_are_left(prepare, root, served):
    ann_file = root / 'annotations' / 'instances_val2017.json'
    data = json.loads(ann_file.read_text())
    data['annotations'].pop()
    ann_file.write_text(json.dumps(data))
    (problem,) = bad(prepare(download=True)[1])
    assert '3 annotations, 1 categories, not the released 4 images, 4 annotations' in problem
    ann_file.write_text('{')
    status, said = prepare(download=True)
    assert (status, 'cannot be read as JSON' in bad(said)[0]) == (1, True)
    assert ann_file.read_text() == '{'
    assert len(served.requests) == 3


def test_deep_finds_a_truncated_image_and_a_wrong_size(prepare, root):
    assert prepare(deep=True)[1][-1] == f'{root}: complete, and every image decodes'
    cut, other, empty = (root / 'train2017' / f'{i:012d}.jpg' for i in (3, 5, 7))
    cut.write_bytes(cut.read_bytes()[:-300])
    Image.new('RGB', (41, 30)).save(other)
    empty.write_bytes(b'')
    assert prepare()[0] == 0
    status, said = prepare(deep=True)
    found = bad(said)
    assert (status, len(found)) == (1, 3)
    assert found[0].startswith(f'{cut} cannot be decoded (image file is truncated')
    assert found[1].startswith(f'{other} is (41, 30), but (40, 30) in the annotations; remove it')
    assert found[2].startswith(f'{empty} cannot be decoded')


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """Run the tool; return its status and its last line."""
    monkeypatch.setenv('MMDET_FRN_DATA_ROOT', str(tmp_path))

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['prepare_coco.py', *arguments])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(TOOL), run_name='__main__')
        captured = capsys.readouterr()
        return stop.value.code, (captured.out or captured.err).strip().splitlines()[-1]

    return run


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('--splits test', "invalid choice: 'test'"),
        ('--base-url http://x', '--base-url goes with --download'),
        ('--base-url ftp://x --download', 'http:// or https://, got ftp://x'),
        ('', 'coco does not exist; name COCO, or add --download'),
        ('--root setup.py', '--root setup.py is not a directory; name one'),
    ],
)
def test_wrong_arguments(tool, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(TOOL.parents[1])
    status, said = tool(*arguments.split())
    assert (status, message in said) == (2, True), said
    assert list(tmp_path.iterdir()) == []


def test_download_without_curl_is_refused(tool, monkeypatch):
    monkeypatch.setenv('PATH', os.devnull)
    assert '--download needs the program curl; install it' in tool('--download')[1]


def test_tool(root, table, tool, monkeypatch):
    monkeypatch.setattr(module.prepare_coco, '__kwdefaults__',
                        module.prepare_coco.__kwdefaults__ | dict(table=table))  # fmt: skip
    assert tool('--splits', 'val', '--deep') == (
        0, f'{root}: complete, and every image decodes',
    )  # fmt: skip
    (root / 'val2017' / '000000000100.jpg').unlink()
    assert tool() == (1, f'{root}: 1 problems')
