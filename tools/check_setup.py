"""What `make setup` checks: `check_setup.py NAME...`, a function each, one line where it fails."""

import csv
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

GIB = 1 << 30
PYTHON = f'{sys.version_info[0]}.{sys.version_info[1]}'
WHEEL = os.environ.get('MMCV_WHEEL') or ''


def stop(message: str) -> None:
    """End with a line."""
    sys.exit(f'make setup: {message}')


def venv() -> None:
    """Virtual environments with pip can be made, and .venv is not one of somebody else's."""
    if Path('.venv/pyvenv.cfg').is_file() and not Path('.venv/steps/setup.log').is_file():
        stop('.venv was not made by make setup, which would empty it; move it away')
    missing = [name for name in ('venv', 'ensurepip') if not importlib.util.find_spec(name)]
    if missing:
        stop(f'python {PYTHON} lacks {missing[0]}; on Debian, apt install python{PYTHON}-venv')


def compiler() -> None:
    """A compiler, named by CXX as for torch's builds, that finds Python's headers."""
    if WHEEL and os.environ.get('MMDET_FRN_WITH_OPS') == '0':
        return
    command = shlex.split(os.environ.get('CXX') or 'c++')
    if shutil.which(command[0]) is None:
        stop(
            f'no C++ compiler {command[0]!r} on PATH; on Debian, apt install build-essential, or '
            f'do without one: MMDET_FRN_WITH_OPS=0 make setup MMCV_WHEEL=<file.whl>'
        )
    include = f'-I{sysconfig.get_paths()["include"]}'
    command += [include, '-std=c++17', '-fsyntax-only', '-xc++', '-']
    source = '#include <Python.h>\n#include <vector>\n'
    probe = subprocess.run(command, input=source, capture_output=True, text=True)
    if probe.returncode:
        reason = next((line for line in probe.stderr.splitlines() if 'error' in line), 'no reason')
        packages = f'build-essential python{PYTHON}-dev'
        stop(f'{command[0]!r} cannot compile ({reason}); on Debian, apt install {packages}')


def disk() -> None:
    """Room for .venv and for pip's downloads; what is needed on one disk adds up."""
    needs: dict[int, list] = {}
    for folder, gib in ((Path.cwd(), 6), (Path(tempfile.gettempdir()), 4)):
        needs.setdefault(folder.stat().st_dev, [folder, 0])[1] += gib
    for folder, gib in needs.values():
        free = shutil.disk_usage(folder).free / GIB
        if free < gib:
            stop(f'{folder} has {free:.1f} GiB free, {gib} are needed; free some or move TMPDIR')


def wheel() -> None:
    """MMCV_WHEEL, if given, is the pinned mmcv, with ops, for this python."""
    pins = Path('constraints.txt').read_text(encoding='utf-8')
    package = 'mmcv' if os.environ.get('PACKAGES') == 'openmmlab' else 'onedl-mmcv'
    version = re.search(rf'^{package}==(.+)$', pins, re.MULTILINE)[1]
    tag = f'cp{PYTHON.replace(".", "")}'
    name = package.replace('-', '_')
    pattern = rf'{name}-{re.escape(version)}(\+[\w.]+)?-{tag}-.+\.whl'
    if WHEEL and not (Path(WHEEL).is_file() and re.fullmatch(pattern, Path(WHEEL).name)):
        name = f'{name}-{version}-{tag}-{tag}-<platform>.whl'
        stop(f'MMCV_WHEEL must be a file {name}, got {WHEEL}; leave it out to build mmcv')


def ops() -> None:
    """The ops of mmcv load: pip may have kept a wheel without any, or one for another torch."""
    import torch

    cuda = (
        torch.cuda.is_available() or os.environ.get('FORCE_CUDA') == '1'
    )  # as mmcv's build has it
    try:
        from mmcv.ops import get_compiling_cuda_version
    except Exception as error:  # whatever a broken extension raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        stop(f'the ops of mmcv do not load: {reason}')
    if cuda and get_compiling_cuda_version() == 'not available':
        stop('the ops of mmcv are compiled for the CPU only')


def ready() -> None:
    """Everything imports, and this package from this checkout."""
    import mmcv.ops
    import mmdet
    import torch

    import mmdet_frn

    if Path(mmdet_frn.__file__).resolve().parents[1] != Path.cwd():
        stop(f'mmdet_frn is imported from {mmdet_frn.__file__}')
    versions = f'mmcv {mmcv.__version__}, mmdet {mmdet.__version__}'
    cuda = mmcv.ops.get_compiling_cuda_version()
    print(f'.venv is ready: torch {torch.__version__}, {versions}; CUDA ops of mmcv: {cuda}')


def mend() -> None:
    """Remove the metadata of packages that a stopped pip left in part, and would take for whole."""
    for metadata in Path('.venv').glob('lib/python*/site-packages/*.dist-info'):
        record = metadata / 'RECORD'
        rows = csv.reader(record.read_text().splitlines()) if record.is_file() else [['-', '-']]
        # Compiled bytecode has no hash; it may be missing without harm.
        if any(row[1] and not (metadata.parent / row[0]).exists() for row in rows):
            print(f'{metadata.stem} lacks files, to be installed again')
            shutil.rmtree(metadata)


def jobs() -> None:
    """Print how many compilers fit the cores and the memory, a container's included."""
    limit = Path('/sys/fs/cgroup/memory.max')
    text = limit.read_text().strip() if limit.is_file() else ''
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    memory = min(memory, int(text)) if text.isdigit() else memory
    print(max(1, min(os.cpu_count() or 1, memory // (2 * GIB))))


if __name__ == '__main__':
    for name in sys.argv[1:]:
        globals()[name]()
