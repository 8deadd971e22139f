import hashlib
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from mmdet_frn.datasets.coco2017 import download as module
from mmdet_frn.datasets.coco2017.download import download
from mmdet_frn.datasets.coco2017.errors import FetchError

NAME = 'big.bin'
CONTENT = np.random.default_rng(0).bytes(300_000)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def get(served, tmp_path):
    """Download the file of the server; return the lines that were said."""
    served.files[NAME] = CONTENT

    def run(content=CONTENT, checksum=True, **options):
        said = []
        download(
            f'{served.url}/{NAME}',
            tmp_path / NAME,
            len(content),
            sha256(content) if checksum else None,
            say=said.append,
            **options,
        )
        assert (tmp_path / NAME).read_bytes() == content
        assert [p.name for p in tmp_path.iterdir()] == [NAME]
        return said

    return run


def refused(get, **options):
    with pytest.raises(FetchError) as error:
        get(**options)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def asked(served):
    return [asked for _, asked in served.requests]


def test_in_one_piece(get, served):
    assert get() == []
    assert asked(served) == [None]


def test_a_broken_connection_is_gone_on_with(get, served):
    served.breaks = [100_000, 50_000]
    said = get()
    assert asked(served) == [None, 'bytes=100000-', 'bytes=150000-']
    assert said == [f'{NAME}: the connection ended early; trying again in 1 s'] * 2


def test_a_server_that_ignores_range_is_read_from_the_start(get, served):
    served.ranges = False
    served.breaks = [100_000]
    get()
    assert asked(served) == [None, 'bytes=100000-']


def test_a_server_that_gets_no_further_is_given_up(get, served, tmp_path):
    served.ranges = False
    served.breaks = [100_000] * 9
    assert refused(get, retries=3) == (
        f'{served.url}/{NAME}: the connection ended early, 4 times in a row; 100.0 kB are kept in '
        f'{tmp_path}/{NAME}.part: run the same command again to go on, or name another server '
        f'with --base-url'
    )
    assert len(served.requests) == 5
    assert (tmp_path / f'{NAME}.part').read_bytes() == CONTENT[:100_000]
    served.ranges, served.breaks = True, []
    assert get() == [f'{NAME}: going on from 100.0 kB']


def test_a_file_that_changes_between_attempts_is_begun_again(get, served):
    other = np.random.default_rng(1).bytes(len(CONTENT))
    served.breaks = [100_000]

    def change(name):
        if len(served.requests) == 2:
            served.files[NAME] = other

    served.before = change
    get(other)
    # If-Range made the server send the whole of the new one.
    assert asked(served) == [None, 'bytes=100000-']


def test_a_change_that_the_server_hides_is_found_by_the_checksum(get, served):
    served.etags[NAME] = 'always the same'
    served.files[NAME] = np.random.default_rng(1).bytes(len(CONTENT))
    served.breaks = [100_000]

    def change(name):
        if len(served.requests) == 2:
            served.files[NAME] = CONTENT

    served.before = change
    said = get()
    assert 'the pieces do not make the file' in said[-1]
    assert asked(served) == [None, 'bytes=100000-', None]


def test_another_file_is_refused(get, served, tmp_path):
    served.files[NAME] = CONTENT[:-1] + b'x'
    assert f'not {sha256(CONTENT)}, and was not kept' in refused(get)
    assert list(tmp_path.iterdir()) == []
    served.files[NAME] = b'<html>Please log in</html>'
    assert f'{NAME} has 26 bytes (text/plain), not 300000' in refused(get)


def test_another_size_leaves_the_piece(get, served, tmp_path):
    served.breaks = [100_000]
    served.before = lambda name: len(served.requests) == 2 and served.files.update({NAME: b'other'})
    assert 'has 5 bytes' in refused(get)
    assert (tmp_path / f'{NAME}.part').stat().st_size == 100_000


def test_not_found_is_said_at_once(get, served):
    served.files[NAME] = 404
    assert refused(get) == (f'{served.url}/{NAME}: HTTP status 404 Not Found; check --base-url')
    assert len(served.requests) == 1


def test_a_server_that_is_busy_is_asked_again(get, served):
    served.files[NAME] = 503
    served.before = lambda name: len(served.requests) == 3 and served.files.update({NAME: CONTENT})
    said = get()
    assert said == [
        f'{NAME}: HTTP status 503 Service Unavailable; trying again in {n} s' for n in (1, 2)
    ]


def test_nobody_answers(tmp_path, served):
    with pytest.raises(FetchError, match=r'refused, 2 times in a row; 0 B are kept'):
        download('http://127.0.0.1:1/x', tmp_path / 'x', 5, retries=1, say=lambda line: None)


def test_a_complete_piece_needs_no_server(get, served, tmp_path):
    (tmp_path / f'{NAME}.part').write_bytes(CONTENT)
    get()
    assert served.requests == []


def test_a_piece_that_is_too_long_is_dropped(get, served, tmp_path):
    (tmp_path / f'{NAME}.part').write_bytes(CONTENT + b'x')
    get()
    assert asked(served) == [None]


def test_a_piece_of_another_server(get, served, tmp_path):
    part = tmp_path / f'{NAME}.part'
    part.write_bytes(CONTENT[:1000])
    (tmp_path / f'{NAME}.part.json').write_text('{"url": "http://other", "version": "x"}')
    get()
    assert asked(served) == ['bytes=1000-']
    # Without a checksum nothing would tell that the pieces are of one file.
    (tmp_path / NAME).unlink()
    part.write_bytes(CONTENT[:1000])
    get(checksum=False)
    assert asked(served)[-1] is None


def test_killed_in_the_middle(get, served, tmp_path):
    """kill -9 keeps what had come, and the next run asks for the rest."""
    served.hold_after = 1 << 16
    fork = multiprocessing.get_context('fork')
    process = fork.Process(target=get)
    process.start()
    part = tmp_path / f'{NAME}.part'
    deadline = time.monotonic() + 10
    while not (part.exists() and part.stat().st_size >= 1 << 16):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    kept = part.stat().st_size
    assert kept == 1 << 16
    assert not (tmp_path / NAME).exists()
    served.hold_after = None
    served.released.set()
    get()
    assert asked(served) == [None, f'bytes={kept}-']


def test_a_full_disk(get, monkeypatch, tmp_path):
    def full(file, chunk):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(module, '_write_all', full)
    assert refused(get) == (
        f'{tmp_path}/{NAME}.part cannot be written: No space left on device; mend that, and run '
        f'the same command again to go on'
    )
