"""What a machine must have, checked before anything is downloaded or built."""

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import SetupError

GIB = 1 << 30
# Measured on Linux with torch's default (CUDA) build: 5.6 in .venv; 1.9 of wheels, which pip holds
# in its temporary folder and, as a rule, in its cache.
VENV_GIB = 6
DOWNLOAD_GIB = 4
# One of mmcv's heavier files takes about a gigabyte to compile.
BUILD_GIB_PER_JOB = 2
WHEEL_NAME = re.compile(
    r'(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?'
    r'-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl'
)


def python_tag() -> str:
    """Return this python's tag in wheel names, such as ``cp311``."""
    return f'cp{sys.version_info.major}{sys.version_info.minor}'


def check_venv_module() -> None:
    """Raise SetupError unless virtual environments with pip can be made."""
    for module in ('venv', 'ensurepip'):
        if importlib.util.find_spec(module) is None:
            version = f'{sys.version_info.major}.{sys.version_info.minor}'
            raise SetupError(
                f'this python {version} lacks the module {module}: install it '
                f'(on Debian and Ubuntu: apt install python{version}-venv) and run this again'
            )


def check_compiler(environ: Mapping[str, str]) -> str:
    """Return the first line of the C++ compiler's --version.

    Args:
        environ: environment variables; ``CXX`` names the compiler as torch's builds read it.

    Raises:
        SetupError: there is no compiler, or it does not compile against this python's headers.
    """
    command = shlex.split(environ.get('CXX') or 'c++')
    if shutil.which(command[0], path=environ.get('PATH')) is None:
        raise SetupError(
            f'no C++ compiler: {command[0]!r} is not on PATH, and the ops of mmcv and mmdet_frn '
            'are compiled here. Install g++ (on Debian and Ubuntu: apt install build-essential), '
            'set CXX, or do without: MMDET_FRN_WITH_OPS=0 make setup MMCV_WHEEL=<file.whl>'
        )
    include = f'-I{sysconfig.get_paths()["include"]}'
    probe = subprocess.run(
        [*command, include, '-std=c++17', '-fsyntax-only', '-x', 'c++', '-'],
        input='#include <Python.h>\n#include <vector>\n',
        capture_output=True,
        text=True,
        env=dict(environ),
    )
    if probe.returncode:
        reason = next((line for line in probe.stderr.splitlines() if 'error' in line), 'no reason')
        version = f'{sys.version_info.major}.{sys.version_info.minor}'
        raise SetupError(
            f'{command[0]!r} cannot compile a C++17 extension of python {version} ({reason.strip()}'
            f'): install g++ and the headers of python (on Debian and Ubuntu: apt install '
            f'build-essential python{version}-dev)'
        )
    shown = subprocess.run(
        [*command, '--version'], capture_output=True, text=True, env=dict(environ)
    )
    return shown.stdout.partition('\n')[0]


def check_disk(
    venv_parent: Path,
    temp: Path | None = None,
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    device: Callable[[Path], int] = lambda path: path.stat().st_dev,
) -> str:
    """Return how much is free where the environment and pip's downloads go.

    Args:
        venv_parent: folder in which .venv is made.
        temp: folder of pip's downloads and builds while they are under way; default ``TMPDIR``'s.
        free_bytes: free bytes on the file system of a folder.
        device: which file system a folder is on; needs on the same one add up.

    Raises:
        SetupError: a file system has too little room.
    """
    temp = temp or Path(tempfile.gettempdir())
    needs: dict[int, tuple[Path, int]] = {}
    for folder, gib in ((venv_parent, VENV_GIB), (temp, DOWNLOAD_GIB)):
        first, sum_gib = needs.get(device(folder), (folder, 0))
        needs[device(folder)] = (first, sum_gib + gib)
    shown = []
    for folder, gib in needs.values():
        free = free_bytes(folder) / GIB
        if free < gib:
            raise SetupError(
                f'too little disk space: {folder} has {free:.1f} GiB free and {gib} GiB are needed '
                f'({VENV_GIB} for .venv, {DOWNLOAD_GIB} for downloads while they are unpacked). '
                'Free some, or set TMPDIR to a folder on another disk'
            )
        shown.append(f'{free:.0f} GiB free in {folder}')
    return ', '.join(shown)


def check_wheel(wheel: str, pinned_version: str, tag: str) -> Path:
    """Return the full path of a prebuilt mmcv wheel.

    Args:
        wheel: what the user named.
        pinned_version: the version of onedl-mmcv in constraints.txt.
        tag: this python's tag, such as ``cp311``.

    Raises:
        SetupError: it is not there, or not onedl-mmcv of that version for this python.
    """
    path = Path(wheel).expanduser().resolve()
    if not path.is_file():
        raise SetupError(
            f'MMCV_WHEEL={wheel}: there is no such file. Give the path of a .whl file, or leave '
            'MMCV_WHEEL out to build mmcv'
        )
    match = WHEEL_NAME.fullmatch(path.name)
    if match is None or match['name'] != 'onedl_mmcv':
        raise SetupError(
            f'MMCV_WHEEL={wheel}: not a wheel of onedl-mmcv. Its file is called '
            f'onedl_mmcv-{pinned_version}-{tag}-{tag}-<platform>.whl'
        )
    if match['version'].partition('+')[0] != pinned_version:
        raise SetupError(
            f'MMCV_WHEEL={wheel}: version {match["version"]}, but constraints.txt pins '
            f'onedl-mmcv=={pinned_version}. Give a wheel of that version'
        )
    if match['python'] == 'py3':
        raise SetupError(
            f'MMCV_WHEEL={wheel}: built without the ops (its name says py3-none-any). Build one '
            'with torch installed and --no-build-isolation'
        )
    if tag not in match['python'].split('.'):
        raise SetupError(
            f'MMCV_WHEEL={wheel}: built for {match["python"]}, but this python is {tag}. Give a '
            f'wheel for {tag}, or another PYTHON'
        )
    return path


def describe_wheel(wheel: str) -> str:
    """Return a wheel's path and the hash of its contents, which change when it is built anew."""
    path = Path(wheel).expanduser().resolve()
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else 'missing'
    return f'{path} sha256:{digest}'


def build_jobs(environ: Mapping[str, str], cores: int, memory_bytes: int) -> int:
    """Return how many files to compile at once: ``MAX_JOBS``, or what cores and memory allow."""
    if environ.get('MAX_JOBS'):
        try:
            return max(1, int(environ['MAX_JOBS']))
        except ValueError:
            raise SetupError(
                f'MAX_JOBS={environ["MAX_JOBS"]}: not a whole number. Give how many files to '
                'compile at once, or leave it out'
            ) from None
    return max(1, min(cores, memory_bytes // (BUILD_GIB_PER_JOB * GIB)))


def machine_memory() -> int:
    """Return the bytes of memory this process may use, a container's limit included."""
    total = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    limit = Path('/sys/fs/cgroup/memory.max')
    text = limit.read_text().strip() if limit.is_file() else ''
    return min(total, int(text)) if text.isdigit() else total


def machine_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
