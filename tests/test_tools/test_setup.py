"""`make setup` with a python that only takes notes: which steps run, when, and in what order."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ('Makefile', 'tools/setup.mk', 'constraints.txt', 'setup.py', 'pyproject.toml',
         'mmdet_frn/version.py')  # fmt: skip
KERNEL = 'mmdet_frn/ops/csrc/kernel.cpp'
# Answers what make asks, makes a virtual environment of itself, and fails where a file says so.
PYTHON = r"""#!/bin/bash
all=$*
case "$all" in
    *_base_executable*) echo "$FAKE" ;;
    *python%d.%d*) echo python3.11 ;;
    '-m venv .venv') mkdir -p .venv/bin; cp "$FAKE" .venv/bin/python; echo venv >>"$NOTES" ;;
    *'check_setup.py jobs') echo 3 ;;
    *check_setup.py*)
        echo "${all#tools/}" >>"$NOTES"
        if [ -s "$NOTES.${*: -1}" ]; then sed -i 1d "$NOTES.${*: -1}"; exit 1; fi ;;
    '-m pip install'*)
        echo "${all#-m pip install -c constraints.txt --no-build-isolation }" >>"$NOTES"
        echo "jobs $MAX_JOBS, ops $MMCV_WITH_OPS, path $PYTHONPATH."
        [ -z "$SLOW" ] || sleep "$SLOW"
        [ -z "$FAIL" ] || [[ "$all" != *"$FAIL"* ]] ;;
esac
"""
TORCH = 'torch==2.11.0 torchvision==0.26.0'
MMCV = 'onedl-mmcv==2.3.6'
REBUILD = f'--no-cache-dir --force-reinstall --no-deps {MMCV}'
PACKAGE = '-e .[onedl,tests]'


class Checkout:
    def __init__(self, folder):
        self.folder, self.notes = folder / 'checkout', folder / 'notes'
        for name in FILES:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        (self.folder / KERNEL).parent.mkdir(parents=True)
        (self.folder / KERNEL).touch()
        self.python = folder / 'python'
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)

    def start(self, *arguments, **environ):
        environ = {'FAKE': self.python, 'NOTES': self.notes, 'PATH': os.environ['PATH'], **environ}
        return subprocess.Popen(
            ['make', 'setup', f'PYTHON={self.python}', *arguments], cwd=self.folder, env=environ,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def setup(self, *arguments, status=0, **environ):
        """Run it; return what pip installed, and what was said."""
        self.notes.write_text('')
        process = self.start(*arguments, **environ)
        said = process.communicate(timeout=60)[0]
        assert (process.returncode != 0) == (status != 0), said
        return [line for line in self.notes.read_text().splitlines()
                if not line.startswith('check_setup')], said  # fmt: skip

    def change(self, name, old, new):
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.fixture
def complete(checkout):
    checkout.setup()
    return checkout


def test_mmcv_is_built_after_torch_and_a_second_run_has_nothing_to_do(checkout):
    ran, said = checkout.setup(PYTHONPATH='/elsewhere')
    assert (ran[0], *ran[2:]) == ('venv', TORCH, MMCV, MMCV, PACKAGE)
    assert 'setuptools==' in ran[1]
    assert 'jobs 3, ops 1, path .' in said
    assert 'jobs 3' in (checkout.folder / '.venv/steps/setup.log').read_text()
    assert checkout.setup()[0] == []


def test_the_other_stack_has_its_own_mmcv_and_extra(checkout):
    other = (ROOT / 'constraints-openmmlab.txt').read_text()
    (checkout.folder / 'constraints.txt').write_text(other)
    ran, _ = checkout.setup('PACKAGES=openmmlab')
    assert ran[2:] == ['torch==2.5.1 torchvision==0.20.1', 'mmcv==2.1.0', 'mmcv==2.1.0',
                       '-e .[openmmlab,tests]']  # fmt: skip


def test_everything_is_checked_before_anything_is_installed(checkout):
    checkout.notes.with_suffix('.disk').write_text('fails\n')
    assert checkout.setup(status=2)[0] == []
    assert 'check_setup.py venv compiler wheel disk' in checkout.notes.read_text()


def test_a_failed_set_up_names_the_log_and_resumes_with_the_step_it_was_in(checkout):
    ran, said = checkout.setup(FAIL='onedl-mmcv', status=2)
    assert ran[-1] == MMCV
    assert (
        f'{MMCV}: minutes unless pip has kept it failed, the log is .venv/steps/setup.log' in said
    )
    assert checkout.setup()[0] == [MMCV, MMCV, PACKAGE]


def test_a_killed_set_up_resumes_with_the_step_it_was_in(checkout):
    process = checkout.start(SLOW='0.4')
    deadline = time.monotonic() + 60
    while TORCH not in (checkout.notes.read_text() if checkout.notes.exists() else ''):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    ran, _ = checkout.setup()
    assert ran[-4:] == [TORCH, MMCV, MMCV, PACKAGE]
    assert 'venv' not in ran


def test_two_set_ups_wait_for_one_another(checkout):
    if not shutil.which('flock'):
        pytest.skip('no flock: make does not lock then')
    first, second = checkout.start(SLOW='0.1'), checkout.start(SLOW='0.1')
    assert [process.wait(60) for process in (first, second)] == [0, 0]
    for process in (first, second):
        process.stdout.close()
    assert checkout.notes.read_text().splitlines().count(TORCH) == 1


@pytest.mark.parametrize(
    ('name', 'old', 'new', 'ran'),
    [
        ('constraints.txt', 'ruff==', 'ruff==9', [PACKAGE]),
        (KERNEL, '', 'int x;', [PACKAGE]),
        ('constraints.txt', MMCV, f'{MMCV}.1', [f'{MMCV}.1', f'{MMCV}.1', PACKAGE]),
    ],
)
def test_a_changed_file_repeats_what_depends_on_it(complete, name, old, new, ran):
    complete.change(name, old, new)
    assert complete.setup()[0] == ran
    assert complete.setup()[0] == []


def test_another_torch_repeats_all_but_the_virtual_environment(complete):
    complete.change('constraints.txt', 'torch==2.11.0', 'torch==2.12.0')
    assert complete.setup()[0][1:] == [TORCH.replace('2.11', '2.12'), MMCV, MMCV, PACKAGE]


def test_a_changed_setting_repeats_what_it_changes_and_stays(complete):
    assert complete.setup(MMDET_FRN_WITH_OPS='0')[0] == [PACKAGE]
    # mmcv's wheel does not tell for what it was compiled.
    assert complete.setup(FORCE_CUDA='1')[0] == [REBUILD, MMCV, PACKAGE]
    assert complete.setup()[0] == []
    complete.change('constraints.txt', 'ruff==', 'ruff==9')
    assert complete.setup()[0] == [PACKAGE]
    assert complete.setup(TORCH_CUDA_ARCH_LIST='8.0;9.0+PTX')[0] == [REBUILD, MMCV, PACKAGE]
    assert complete.setup(MMDET_FRN_WITH_OPS='0', FORCE_CUDA='1')[0] == []


def test_a_moved_checkout_and_another_python_are_set_up_anew(complete):
    complete.folder = complete.folder.rename(complete.folder.with_name('moved'))
    ran, _ = complete.setup()
    assert (ran[0], ran[-1]) == ('venv', PACKAGE)
    complete.change('../python', 'echo python3.11', 'echo python3.12')
    assert complete.setup()[0][0] == 'venv'


def test_mmcv_whose_ops_do_not_load_is_compiled_once_more(checkout):
    checkout.notes.with_suffix('.ops').write_text('fails\n')
    assert checkout.setup()[0][3:] == [MMCV, MMCV, REBUILD, PACKAGE]


def test_mmcv_whose_ops_never_load_ends_the_set_up(checkout):
    checkout.notes.with_suffix('.ops').write_text('fails\n' * 2)
    assert checkout.setup(status=2)[0][3:] == [MMCV, MMCV, REBUILD]


def test_a_wheel_replaces_what_is_there_and_is_never_built(complete):
    wheel = complete.folder / 'a b.whl'
    wheel.write_text('first')
    replaced = ['--force-reinstall --no-deps a b.whl', MMCV, PACKAGE]
    assert complete.setup('MMCV_WHEEL=a b.whl')[0] == replaced
    assert complete.setup('MMCV_WHEEL=a b.whl')[0] == complete.setup()[0] == []
    wheel.write_text('built anew')
    complete.notes.with_suffix('.ops').write_text('fails\n')
    assert complete.setup('MMCV_WHEEL=a b.whl', status=2)[0] == replaced[:2]


def test_an_environment_that_was_damaged_is_set_up_again(complete):
    complete.notes.with_suffix('.ready').write_text('fails\n')
    assert complete.setup()[0][1:] == [TORCH, MMCV, MMCV, PACKAGE]
    complete.notes.with_suffix('.ready').write_text('fails\n' * 2)
    complete.setup(status=2)


def test_a_python_that_cannot_be_used_is_named_with_the_remedy(checkout):
    for python in ('false', 'no-such-python'):
        _, said = checkout.setup(f'PYTHON={python}', status=2)
        assert f'make setup: {python} must be a python 3.10 to 3.12' in said
        assert 'make setup PYTHON=python3.12' in said
    assert not (checkout.folder / '.venv').exists()
