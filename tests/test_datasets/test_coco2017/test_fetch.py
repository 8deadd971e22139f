"""Fetching a tiny COCO: servers that fail, disks that fill, runs that are killed or meet."""

import fcntl
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace

import pytest

from mmdet_frn.datasets.coco2017 import extract
from mmdet_frn.utils.errors import UsageError

ARCHIVES = ['annotations/annotations_trainval2017.zip', 'zips/train2017.zip', 'zips/val2017.zip']


def test_a_server_without_the_files(prepare, served, tmp_path):
    served.files.clear()
    status, said = prepare(download=True)
    assert status == 1
    assert said[-1] == (
        f'error: {served.url}/{ARCHIVES[0]}: HTTP status 404 Not Found; check --base-url'
    )


def test_another_server(prepare, table, served):
    elsewhere = replace(table, base_url='http://127.0.0.1:1')
    assert prepare(table=elsewhere, download=True, base_url=f'{served.url}/')[0] == 0


def test_a_corrupt_zip(prepare, served, table, tmp_path):
    path = 'zips/val2017.zip'
    damaged = bytearray(served.files[path])
    damaged[300] ^= 0xFF
    served.files[path] = bytes(damaged)
    status, said = prepare(download=True, splits=['val'])
    assert status == 1
    assert 'has SHA-256' in said[-1]
    # Without a known checksum those within the zip have the say.
    val = table.splits['val']
    unchecked = replace(val, archive=replace(val.archive, sha256=None))
    status, said = prepare(
        download=True, splits=['val'], table=replace(table, splits={'val': unchecked})
    )
    assert status == 1
    assert 'val2017.zip is damaged: Bad CRC-32' in said[-1]
    assert not list((tmp_path / 'coco' / 'val2017').iterdir())


def test_a_disk_with_too_little_room(prepare, served, table, monkeypatch, tmp_path):
    train = table.splits['train'].archive
    usage = shutil.disk_usage(tmp_path)
    # The peak: the largest is unpacked and its archive still there; the smallest comes later.
    peak = table.annotations.unpacked + train.unpacked + train.size
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=peak - 1))
    status, said = prepare(download=True)
    assert status == 1
    assert said[-1].startswith(
        'error: annotations_trainval2017.zip, train2017.zip, val2017.zip and what is in them need '
    )
    assert said[-1].endswith('are free; make room, or name another folder with --root')
    assert served.requests == []
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=peak))
    assert prepare(download=True)[0] == 0


def test_an_archive_that_somebody_put_there(prepare, served, tmp_path):
    root = tmp_path / 'coco'
    root.mkdir()
    content = served.files['zips/val2017.zip']
    (root / 'val2017.zip').write_bytes(content[:-1])
    status, said = prepare(download=True, splits=['val'])
    assert status == 1
    assert said[-1] == (
        f'error: {root}/val2017.zip has {len(content) - 1} bytes, not {len(content)}; rename it '
        f'to val2017.zip.part to have it completed, and run the same command again'
    )
    (root / 'val2017.zip').rename(root / 'val2017.zip.part')
    assert prepare(download=True, splits=['val'])[0] == 0
    assert served.requests[-1] == ('zips/val2017.zip', f'bytes={len(content) - 1}-')
    shutil.rmtree(root / 'val2017')
    (root / 'val2017.zip').write_bytes(b'x' * len(content))
    status, said = prepare(download=True, splits=['val'])
    assert 'has SHA-256' in said[-1]
    (root / 'val2017.zip').write_bytes(content)
    assert prepare(download=True, splits=['val'])[0] == 0
    assert (root / 'val2017.zip').read_bytes() == content


def test_killed_while_downloading(prepare, served, tmp_path):
    served.hold_after = 1
    process = multiprocessing.get_context('fork').Process(
        target=prepare, kwargs=dict(download=True, splits=['train'])
    )
    process.start()
    part = tmp_path / 'coco' / 'train2017.zip.part'
    deadline = time.monotonic() + 10
    while not (part.exists() and part.stat().st_size > 0):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    kept = part.stat().st_size
    served.hold_after = None
    served.released.set()
    assert prepare(download=True, splits=['train'])[0] == 0
    assert served.requests[-1] == ('zips/train2017.zip', f'bytes={kept}-')
    assert not part.exists()


def test_killed_while_unpacking(prepare, served, tmp_path, monkeypatch):
    write = extract._write

    def killed(file, info, target, archive):
        if info.filename.endswith('7.jpg'):
            os.kill(os.getpid(), signal.SIGKILL)
        write(file, info, target, archive)

    with monkeypatch.context() as patch:
        patch.setattr(extract, '_write', killed)
        process = multiprocessing.get_context('fork').Process(
            target=prepare, kwargs=dict(download=True, splits=['train'])
        )
        process.start()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    status, said = prepare(splits=['train'])
    assert status == 1
    assert any('13 of 20 images are missing' in line for line in said)
    assert prepare(download=True, splits=['train'])[0] == 0
    assert len(served.requests) == 2
    assert not list((tmp_path / 'coco').glob('*.zip'))


def test_two_runs_do_not_meet(prepare, tmp_path):
    root = tmp_path / 'coco'
    root.mkdir()
    with (root / '.prepare_coco.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match=f'another process fetches into {root}; wait'):
            prepare(download=True)
        assert prepare()[0] == 1
