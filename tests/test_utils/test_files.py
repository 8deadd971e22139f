"""Atomic writes: the old content or the new, whatever fails, and both on the disk."""

import os

import pytest

from mmdet_frn.utils.files import write_bytes_atomic, write_text_atomic


def test_content_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / 'result.json'
    write_bytes_atomic(path, b'old')
    write_text_atomic(path, 'neu: ü')
    assert path.read_bytes() == 'neu: ü'.encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('failing', ['fsync', 'replace'])
def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch, failing):
    path = tmp_path / 'result.json'
    path.write_text('old')

    def fail(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    # Path.replace goes through os.replace.
    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match='No space left'):
        write_text_atomic(path, 'new')
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_half_a_file_and_the_rename_comes_after_the_flush(
    tmp_path, monkeypatch
):
    path = tmp_path / 'result.json'
    path.write_text('old')
    seen = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor):
        seen.append(('fsync', path.read_text()))
        fsync(descriptor)

    def watched_replace(source, target):
        seen.append(('replace', path.read_text()))
        replace(source, target)

    monkeypatch.setattr(os, 'fsync', watched_fsync)
    monkeypatch.setattr(os, 'replace', watched_replace)
    write_text_atomic(path, 'new')
    # The file, the rename, the folder.
    assert seen == [('fsync', 'old'), ('replace', 'old'), ('fsync', 'new')]
