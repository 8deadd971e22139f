"""The set-up from beginning to end."""

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from . import preflight
from .console import Steps, duration
from .errors import SetupError
from .mmcv import BUILD_SETTINGS, ask, install_mmcv
from .venv import VirtualEnv, base_python

CHECKOUT = Path(__file__).resolve().parents[2]
TORCH = ('torch', 'torchvision')
# Those of mmcv's build are read by our own too.
SETTINGS = (*BUILD_SETTINGS, 'MMDET_FRN_WITH_OPS')
BUILD_TOOLS = ('pip', 'setuptools', 'wheel', 'ninja', 'psutil', 'packaging', 'numpy')
INDEX_REMEDY = (
    'Where pip could not reach its index or lacked a version: check the network and the index that '
    'pip is configured with (`pip config list`). Then run `make setup` again'
)
# What everything else depends on; `make demo` and the tests start with these imports.
VERIFICATION = """
import json, pathlib
import torch, mmcv, mmcv.ops, mmdet, mmdet_frn
from mmdet_frn.version import __version__
print(json.dumps({
    'torch': torch.__version__, 'mmcv': mmcv.__version__, 'mmdet': mmdet.__version__,
    'mmdet_frn': __version__, 'ops': mmcv.ops.get_compiling_cuda_version(),
    'folder': str(pathlib.Path(mmdet_frn.__file__).resolve().parent.parent),
}))
"""


def read_pins(constraints: Path) -> dict[str, str]:
    """Return ``{name: 'name==version'}`` for every pin of a constraints file."""
    lines = constraints.read_text(encoding='utf-8').splitlines()
    return {line.partition('==')[0]: line for line in lines if '==' in line}


def verify(venv: VirtualEnv, environ: Mapping[str, str]) -> tuple[str, str]:
    """Import what must import.

    Returns:
        The versions in one line, and what is wrong ('' if nothing is).
    """
    found, error = ask(venv, VERIFICATION, environ)
    if error:
        return '', error
    if found['folder'] != str(venv.checkout):
        return '', f'mmdet_frn is imported from {found["folder"]}, not from this checkout'
    ops = 'CPU ops' if found['ops'] == 'not available' else f'ops for CUDA {found["ops"]}'
    return (
        f'torch {found["torch"]}, mmcv {found["mmcv"]} with {ops}, mmdet {found["mmdet"]}, '
        f'mmdet_frn {found["mmdet_frn"]}'
    ), ''


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder against other set-ups, waiting for one that is at work.

    The commands that are run inherit the lock: a pip that outlives a killed set-up keeps it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.set_inheritable(handle, True)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('make setup: waiting for another set-up of this checkout to end', flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def pip_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for pip and the builds.

    Settings of the user that would take packages from, or put them, elsewhere are left out.
    """
    kept = {k: v for k, v in environ.items() if k not in ('PYTHONPATH', 'PYTHONHOME')}
    jobs = preflight.build_jobs(environ, preflight.machine_cores(), preflight.machine_memory())
    return {
        **kept,
        'MMCV_WITH_OPS': '1',
        'MAX_JOBS': str(jobs),
        'PIP_DISABLE_PIP_VERSION_CHECK': '1',
        'PIP_NO_INPUT': '1',
        'PIP_USER': '0',
        'PYTHONNOUSERSITE': '1',
    }


def given(environ: Mapping[str, str], name: str) -> bool:
    """Return whether the user asks for something with an environment variable."""
    return environ.get(name, '') not in ('', '0')


def check_machine(
    steps: Steps, venv: VirtualEnv, pins: Mapping[str, str], wheel: str, environ: Mapping[str, str]
) -> tuple[str, Path | None]:
    """Check what the set-up needs, and take note of what a stopped one left in part.

    Returns:
        Why the environment must be made anew ('' if it can be kept), and the wheel's path.
    """
    preflight.check_venv_module()
    wheel_path = None
    if wheel:
        version = pins['onedl-mmcv'].partition('==')[2]
        wheel_path = preflight.check_wheel(wheel, version, preflight.python_tag())
    found = 'mmcv from the wheel, ' if wheel else ''
    if wheel and environ.get('MMDET_FRN_WITH_OPS') == '0':
        found += 'no ops of our own'
    else:
        found += preflight.check_compiler(environ)
    damage = venv.damage()
    incomplete = [] if damage else venv.forget_incomplete()
    if incomplete:
        steps.say(f'      files are missing, to be installed again: {", ".join(incomplete)}')
    if not venv.has(pins['torch']):
        found += ', ' + preflight.check_disk(CHECKOUT)
    steps.say(f'      python {sys.version.split()[0]}, {found}')
    return damage, wheel_path


def set_up(venv: VirtualEnv, wheel: str, settings: Mapping[str, str], environ: dict) -> None:
    """Run all steps and write the stamp.

    Args:
        venv: the environment to make or to complete.
        wheel: a prebuilt mmcv wheel as the user named it, '' to build.
        settings: what the user asks for; build settings and ``MMCV_WHEEL``.
        environ: environment variables for pip and the builds.

    Raises:
        SetupError: a step failed; what is done so far stays, the next run goes on from it.
    """
    steps = Steps(venv.log, total=6)
    pins = read_pins(CHECKOUT / 'constraints.txt')
    with steps.step('Check this machine'):
        damage, wheel_path = check_machine(steps, venv, pins, wheel, environ)

    install = [venv.python, '-m', 'pip', 'install', '-c', CHECKOUT / 'constraints.txt']
    install += ['--no-build-isolation']
    with steps.step('Virtual environment .venv', f'made anew: {damage}' if damage else ''):
        if damage:
            if venv.root.exists():
                steps.say('      removing the old one')
                shutil.rmtree(venv.root)
            venv.root.mkdir()
            make = [base_python(), '-m', 'venv', venv.root]
            steps.command(make, environ, 'Check that this python can make one: python -m venv x')
        if not venv.has(pins['torch']):
            index = [venv.python, '-m', 'pip', 'index', 'versions', '--retries', '1', 'torch']
            steps.command(index, environ, f'pip finds no torch in any index. {INDEX_REMEDY}')
        steps.command([*install, *(pins[name] for name in BUILD_TOOLS)], environ, INDEX_REMEDY)

    there = all(venv.has(pins[name]) for name in TORCH)
    note = '' if there else 'a download of about 2 GB: a minute or more'
    with steps.step(' and '.join(pins[name] for name in TORCH), note):
        steps.command([*install, *(pins[name] for name in TORCH)], environ, INDEX_REMEDY)

    note = 'from the wheel'
    if not wheel:
        note = (
            f'built with {environ["MAX_JOBS"]} jobs: about 6 minutes on 2 cores, 20 with CUDA, '
            'unless pip has kept the wheel'
        )
    there = venv.has(pins['onedl-mmcv'])
    with steps.step(pins['onedl-mmcv'] + ' with its ops', '' if there else note):
        recorded = venv.read_stamp().get('settings', {})
        rebuild = any(settings.get(k, recorded.get(k)) != recorded.get(k) for k in BUILD_SETTINGS)
        install_mmcv(steps, venv, install, pins['onedl-mmcv'], wheel_path, rebuild, environ)
        venv.write_stamp(settings, complete=False)

    note = 'its ops are compiled: some minutes on 2 cores'
    with steps.step('mmdet, test tools and this package in editable form', note):
        steps.command([*install, '-e', f'{CHECKOUT}[onedl,tests]'], environ, INDEX_REMEDY)

    with steps.step('Verify that everything imports'):
        versions, problem = verify(venv, environ)
        if problem:
            raise SetupError(
                f'installed, but it does not import: {problem}. If a package was changed by hand, '
                'remove .venv and run `make setup` again'
            )
        steps.say(f'      {versions}')
    venv.write_stamp(settings, complete=True)


def run(mmcv_wheel: str) -> int:
    """Set up ``.venv``, or find that it is up to date; return the exit status.

    Args:
        mmcv_wheel: a prebuilt mmcv wheel, '' to build or keep what is there.
    """
    start = time.monotonic()
    venv = VirtualEnv(CHECKOUT)
    try:
        environ = pip_environ(os.environ)
        settings = {name: environ[name] for name in SETTINGS if given(environ, name)}
        if mmcv_wheel:
            settings['MMCV_WHEEL'] = preflight.describe_wheel(mmcv_wheel)
        with locked(CHECKOUT):
            if venv.is_current(settings):
                versions, problem = verify(venv, environ)
                if not problem:
                    took = duration(time.monotonic() - start)
                    print(f'.venv is up to date: {versions} (checked in {took})')
                    return 0
                print(f'.venv was complete, but now: {problem}. Setting it up again', flush=True)
            set_up(venv, mmcv_wheel, settings, environ)
    except SetupError as error:
        print(f'make setup: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nmake setup: stopped; run it again to go on', file=sys.stderr)
        return 130
    print(f'.venv is ready after {duration(time.monotonic() - start)}')
    return 0
