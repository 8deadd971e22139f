"""What the set-up shows while its commands run."""

import io
import os
import subprocess
import sys

import pytest

from tools.setup_steps import console
from tools.setup_steps.errors import SetupError


@pytest.fixture
def out():
    return io.StringIO()


@pytest.fixture
def steps(tmp_path, out):
    return console.Steps(tmp_path / 'setup.log', total=3, out=out)


@pytest.mark.parametrize(
    ('seconds', 'text'), [(0.42, '0.4 s'), (12.3, '12 s'), (59.6, '1 min 0 s'), (365, '6 min 5 s')]
)
def test_duration(seconds, text):
    assert console.duration(seconds) == text


def test_compile_progress_is_the_last_counter():
    assert console.compile_progress('[1/102] c++ a\n[35/102] c++ b\n') == '35 of 102 files compiled'
    assert console.compile_progress('Collecting torch') == ''


def test_hosts_of_indexes_are_not_shown():
    text = "Looking in https://name:word@index.corp/simple, HTTPSConnectionPool(host='index.corp')"
    assert 'corp' not in console.without_hosts(text)


def test_steps_are_numbered_and_timed(steps, out):
    with steps.step('First', 'quick'):
        pass
    with steps.step('Second'):
        pass
    lines = out.getvalue().splitlines()
    assert lines[0] == '[1/3] First (quick)'
    assert lines[1].startswith('      done in ')
    assert lines[2] == '[2/3] Second'


def test_output_of_a_command_goes_to_the_log_only(steps, out):
    steps.command([sys.executable, '-c', 'print("spoken")'], os.environ, remedy='')
    assert 'spoken' in steps.log.read_text()
    assert 'spoken' not in out.getvalue()


def test_failed_command_shows_its_own_last_lines_and_the_remedy(steps, out):
    steps.command([sys.executable, '-c', 'print("an earlier command")'], os.environ, remedy='')
    code = 'print("no such file at https://host.corp/simple"); raise SystemExit(3)'
    with (
        pytest.raises(SetupError, match=r'step 1 \(Build\) failed.*setup\.log\. Do that'),
        steps.step('Build'),
    ):
        steps.command([sys.executable, '-c', code], os.environ, remedy='Do that')
    assert '| no such file at https://.../simple' in out.getvalue()
    assert 'an earlier command' not in out.getvalue()
    assert 'done in' not in out.getvalue()


def test_killed_command_names_the_signal(steps):
    code = 'import os; os.kill(os.getpid(), 9)'
    with pytest.raises(SetupError, match='was killed by signal 9'):
        steps.command([sys.executable, '-c', code], os.environ, remedy='')


def test_long_command_shows_that_it_lives(steps, out, monkeypatch):
    class SlowProcess:
        """Ends at the third look at it, having compiled a file in between."""

        def __init__(self, *_, stdout, **__):
            self.log = stdout
            self.looks = 0

        def wait(self, timeout):
            self.looks += 1
            if self.looks == 3:
                return 0
            self.log.write(f'[{self.looks}/2] c++ file\n'.encode())
            self.log.flush()
            raise subprocess.TimeoutExpired('slow', timeout)

    monkeypatch.setattr(console.subprocess, 'Popen', SlowProcess)
    with steps.step('Build'):
        steps.command(['slow'], {}, remedy='')
    beats = [line for line in out.getvalue().splitlines() if 'compiled' in line]
    assert [beat.partition(', ')[2] for beat in beats] == [
        '1 of 2 files compiled',
        '2 of 2 files compiled',
    ]
