"""One process at a time holds a lock, and a dead one holds none."""

import signal
import subprocess
import sys

import pytest

from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from mmdet_frn.utils.lock import locked
with locked(Path(sys.argv[1]), 'busy'):
    print('held', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / '.lock'


def test_a_lock_is_free_again_after_the_block(lock):
    for _ in range(2):
        with locked(lock, 'busy'), pytest.raises(UsageError, match=r'^busy$'), locked(lock, 'busy'):
            pass


def test_a_killed_process_frees_its_lock(lock):
    with subprocess.Popen(
        [sys.executable, '-c', HOLD, str(lock)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == 'held\n'
            with pytest.raises(UsageError, match=r'^busy$'), locked(lock, 'busy'):
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
    with locked(lock, 'busy'):
        pass


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / 'file').touch()
    lock = tmp_path / 'file' / '.lock'
    with pytest.raises(UsageError, match=r'^cannot lock .*file/\.lock: '), locked(lock, 'busy'):
        pass
