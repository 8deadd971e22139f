"""How a process of several ends."""

import subprocess
import sys

import pytest

SCRIPT = """
import atexit, sys, tempfile
from torch import distributed as dist
from mmdet_frn.utils.launch import end_job

class Last:
    def __del__(self):
        print('shut down')

last = Last()
atexit.register(print, 'handlers')
if sys.argv[1] == 'gloo':
    dist.init_process_group('gloo', init_method=f'file://{tempfile.mktemp()}', rank=0, world_size=1)
sys.stdout.write('result ')
end_job()
"""


@pytest.mark.parametrize(('how', 'printed'), [('gloo', ''), ('alone', 'shut down\n')])
def test_a_process_joined_over_gloo_does_not_shut_the_interpreter_down(how, printed):
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, how], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f'result handlers\n{printed}'
