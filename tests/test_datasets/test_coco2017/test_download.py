"""Downloading from servers that fail, to disks that fill, in runs that are killed or meet."""

import fcntl
import multiprocessing
import os
import shutil
import signal
import time
import zipfile

import helpers
import pytest

from mmdet_frn.datasets.coco2017 import download as module
from mmdet_frn.utils.errors import UsageError

from .conftest import ZIPS, zip_of

VAL, TRAIN = ZIPS[2], ZIPS[1]


@pytest.fixture
def get(served, table, tmp_path, capsys):
    """Download train2017.zip; return the ranges that the server was asked for, and the output."""
    part = tmp_path / 'x.part'

    def run():
        module.fetch(f'{served.url}/{TRAIN}', part, table.splits['train'].archive)
        assert part.read_bytes() == served.files[TRAIN]
        return [asked for _, asked in served.requests], capsys.readouterr().out

    run.part = part
    return run


def refused(get):
    return helpers.refused(get, error=module.DownloadError)


def test_a_broken_connection_is_resumed(get, served):
    served.breaks = [20_000, 5000]
    assert get()[0] == [None, 'bytes=20000-', 'bytes=25000-']


def test_a_server_that_ignores_range_is_read_from_the_start(get, served):
    served.ranges = False
    served.breaks = [20_000]
    assert get()[0] == [None, 'bytes=20000-', None]


def test_a_server_that_gets_no_further_is_given_up_and_what_came_is_kept(get, served):
    served.breaks = [20_000] + [0] * 9
    assert 'run the same command again to resume' in refused(get)
    assert get.part.stat().st_size == 20_000
    served.breaks = []
    assert get()[0][-1] == 'bytes=20000-'


def test_a_file_that_changes_between_attempts_is_found_by_its_checksum(get, served):
    right = served.files[TRAIN]
    served.files[TRAIN] = b'x' * len(right)
    served.breaks = [20_000]
    served.before = lambda: len(served.requests) == 2 and served.files.update({TRAIN: right})
    asked, said = get()
    assert asked == [None, 'bytes=20000-', None]
    assert 'the pieces do not fit together; starting again' in said


@pytest.mark.parametrize(
    ('other', 'reason'),
    [
        (lambda right: right[:-1] + b'?', 'is not the released file'),
        (lambda right: b'<html>Please log in</html>', 'is not the released file'),
        (lambda right: right + b'?', 'another file: it is too large'),
        (lambda right: 404, 'HTTP error'),
    ],
)
def test_another_file_is_refused(get, served, other, reason):
    served.files[TRAIN] = other(served.files[TRAIN])
    assert reason in refused(get)
    assert len(served.requests) == 1
    assert not get.part.exists() or get.part.stat().st_size == 0


def test_a_complete_piece_needs_no_server(get, served):
    get.part.write_bytes(served.files[TRAIN])
    assert get()[0] == []


def test_a_busy_server_is_asked_again(get, served):
    right = served.files[TRAIN]
    served.files[TRAIN] = 503
    served.before = lambda: len(served.requests) == 3 and served.files.update({TRAIN: right})
    assert get()[0] == [None] * 3


def test_a_disk_with_too_little_room(prepare, served, monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)
    need = 3 * sum(map(len, served.files.values()))
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=need - 1))
    status, said = prepare(download=True)
    assert status == 1
    assert said[-1].endswith('make room, or name another folder with --root')
    assert served.requests == []
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=need))
    assert prepare(download=True)[0] == 0


def test_an_archive_that_somebody_put_there_is_used_and_left(prepare, served, tmp_path):
    archive = tmp_path / 'coco' / 'val2017.zip'
    archive.parent.mkdir()
    archive.write_bytes(served.files[VAL][:-1])
    status, said = prepare('val', download=True)
    assert (status, 'rename it to val2017.zip.part if it is incomplete' in said[-1]) == (1, True)
    archive.rename(archive.with_suffix('.zip.part'))
    assert prepare('val', download=True)[0] == 0
    assert served.requests[-1] == (VAL, f'bytes={len(served.files[VAL]) - 1}-')
    shutil.rmtree(archive.with_suffix('').with_name('val2017'))
    archive.write_bytes(served.files[VAL])
    assert prepare('val', download=True)[0] == 0
    assert archive.read_bytes() == served.files[VAL]


def killed(function, when, **options):
    """Run a function in a process that is killed when ``when()``."""
    process = multiprocessing.get_context('fork').Process(target=function, kwargs=options)
    process.start()
    deadline = time.monotonic() + 30
    while process.is_alive() and not when():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.join()


def test_killed_while_downloading(prepare, served, tmp_path):
    served.hold = True
    part = tmp_path / 'coco' / 'annotations_trainval2017.zip.part'
    (tmp_path / 'coco').mkdir()
    killed(prepare, lambda: bool(served.requests), download=True)
    served.hold = False
    served.released.set()
    assert prepare(download=True)[0] == 0
    assert not part.exists()


def test_killed_while_unpacking(prepare, served, tmp_path, monkeypatch):
    extract = zipfile.ZipFile.extract

    def die(self, info, path):
        written = extract(self, info, path)
        if info.filename.endswith('7.jpg'):
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, 'extract', die)
        killed(lambda: prepare('train', download=True), lambda: False)
    status, said = prepare('train')
    assert status == 1
    assert any(line.startswith('bad: 13 images are missing') for line in said)
    assert prepare('train', download=True)[0] == 0
    assert len(served.requests) == 2
    assert sorted(p.name for p in (tmp_path / 'coco').iterdir()) == [
        '.prepare_coco.lock', 'annotations', 'train2017',
    ]  # fmt: skip


def test_two_runs_do_not_meet(prepare, tmp_path):
    (tmp_path / 'coco').mkdir()
    with (tmp_path / 'coco' / '.prepare_coco.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match='another process downloads into'):
            prepare(download=True)
        assert prepare()[0] == 1


def test_files_that_are_there_are_left(tmp_path):
    archive = tmp_path / 'set.zip'
    archive.write_bytes(zip_of({f'set/{name}': name.encode() for name in 'abc'}))
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set' / 'a').write_bytes(b'mine')
    module.unpack(archive, tmp_path)
    assert [(tmp_path / 'set' / name).read_text() for name in 'abc'] == ['mine', 'b', 'c']


def test_a_damaged_archive_leaves_no_part_of_a_file(tmp_path):
    archive, content = tmp_path / 'set.zip', bytearray(zip_of({'set/a': b'a' * 1000}))
    content[200] ^= 0xFF
    for damaged in (content, b'<html>no zip</html>', b''):
        archive.write_bytes(damaged)
        with pytest.raises(module.DownloadError, match=r'set\.zip is damaged: '):
            module.unpack(archive, tmp_path)
    assert not (tmp_path / 'set').exists()


@pytest.mark.parametrize('name', ['/etc/x', '../x', 'set/../../x'])
def test_nothing_is_unpacked_outside_of_the_folder(tmp_path, name):
    (tmp_path / 'root').mkdir()
    (tmp_path / 'evil.zip').write_bytes(zip_of({name: b'evil'}))
    module.unpack(tmp_path / 'evil.zip', tmp_path / 'root')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['evil.zip', 'root']
