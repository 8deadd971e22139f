"""What `make setup` needs beyond make: checks that fail in one line, and commands with a log.

    python tools/set_up.py check NAME...           see CHECKS
    python tools/set_up.py run TITLE COMMAND...    the output goes to .venv/steps/setup.log

With the standard library alone, as nothing else is there yet.
"""

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
import time
from pathlib import Path

GIB = 1 << 30
# Measured on Linux: 5.6 in .venv; the wheels are in pip's temporary folder and in its cache.
VENV_GIB, DOWNLOAD_GIB = 6, 4
LOG = Path('.venv/steps/setup.log')
PYTHON = f'{sys.version_info[0]}.{sys.version_info[1]}'
BEAT_SECONDS = 30
TAIL_LINES = 25


def check_venv() -> None:
    """Virtual environments with pip can be made."""
    for module in ('venv', 'ensurepip'):
        if importlib.util.find_spec(module) is None:
            sys.exit(
                f'make setup: this python {PYTHON} lacks the module {module}. Install it (Debian '
                f'and Ubuntu: apt install python{PYTHON}-venv)'
            )


def check_compiler() -> None:
    """There is a C++ compiler, named by CXX as for torch's builds, and it finds Python's headers."""
    if not os.environ.get('MAX_JOBS', '1').isdigit():
        sys.exit(f'make setup: MAX_JOBS must be a whole number, got {os.environ["MAX_JOBS"]}')
    if os.environ.get('MMCV_WHEEL') and os.environ.get('MMDET_FRN_WITH_OPS') == '0':
        return
    command = shlex.split(os.environ.get('CXX') or 'c++')
    if shutil.which(command[0]) is None:
        sys.exit(
            f'make setup: no C++ compiler: {command[0]!r} is not on PATH. Install g++ (Debian and '
            f'Ubuntu: apt install build-essential), set CXX, or do without: '
            f'MMDET_FRN_WITH_OPS=0 make setup MMCV_WHEEL=<file.whl>'
        )
    command += [f'-I{sysconfig.get_paths()["include"]}', '-std=c++17', '-fsyntax-only', '-xc++', '-']
    code = '#include <Python.h>\n#include <vector>\n'
    probe = subprocess.run(command, input=code, capture_output=True, text=True)
    if probe.returncode:
        reason = next((line for line in probe.stderr.splitlines() if 'error' in line), 'no reason')
        sys.exit(
            f'make setup: {command[0]!r} cannot compile a C++17 extension of python {PYTHON} '
            f'({reason}). Install g++ and the headers of python (Debian and Ubuntu: apt install '
            f'build-essential python{PYTHON}-dev)'
        )


def check_disk() -> None:
    """Where .venv and pip's downloads go there is room for both; on one disk the needs add up."""
    needs: dict[int, list] = {}
    for folder, gib in ((Path(), VENV_GIB), (Path(tempfile.gettempdir()), DOWNLOAD_GIB)):
        needs.setdefault(folder.stat().st_dev, [folder.resolve(), 0])[1] += gib
    for folder, gib in needs.values():
        free = shutil.disk_usage(folder).free / GIB
        if free < gib:
            sys.exit(
                f'make setup: {folder} has {free:.1f} GiB free and {gib} are needed ({VENV_GIB} for '
                f'.venv, {DOWNLOAD_GIB} for downloads). Free some, or set TMPDIR to another disk'
            )


def check_wheel() -> None:
    """MMCV_WHEEL, if given, is the pinned mmcv, with ops, for this python."""
    wheel = os.environ.get('MMCV_WHEEL')
    if not wheel:
        return
    pins = Path('constraints.txt').read_text(encoding='utf-8')
    version = re.search(r'^onedl-mmcv==(.+)$', pins, re.MULTILINE)[1]
    tag = f'cp{PYTHON.replace(".", "")}'
    if not re.fullmatch(rf'onedl_mmcv-{re.escape(version)}(\+\w+)?-{tag}-.+\.whl', Path(wheel).name):
        sys.exit(
            f'make setup: MMCV_WHEEL={wheel} must be a wheel with ops of this version for this '
            f'python: onedl_mmcv-{version}-{tag}-{tag}-<platform>.whl. Leave it out to build mmcv'
        )
    if not Path(wheel).is_file():
        sys.exit(f'make setup: MMCV_WHEEL={wheel} does not exist. Leave it out to build mmcv')


def needs_cuda() -> bool:
    """Whether mmcv's ops must run on CUDA, by the rule of mmcv's own build."""
    import torch

    return torch.cuda.is_available() or os.environ.get('FORCE_CUDA') == '1'


def ops_problem() -> str:
    """Return why mmcv's ops cannot be used, '' if they can. pip may give an mmcv without them."""
    try:
        from mmcv.ops import get_compiling_cuda_version

        cpu_only = get_compiling_cuda_version() == 'not available'
    except Exception as error:  # whatever a broken extension raises
        return (str(error).splitlines() or [type(error).__name__])[0]
    return 'compiled for the CPU only' if cpu_only and needs_cuda() else ''


def check_nvcc() -> None:
    """Where mmcv must be compiled for CUDA, there is a toolkit."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    if CUDA_HOME is None and not os.environ.get('MMCV_WHEEL') and needs_cuda() and ops_problem():
        sys.exit(
            f'make setup: no CUDA toolkit, which the ops of mmcv are compiled with. Install toolkit '
            f'{torch.version.cuda} and set CUDA_HOME, name a built wheel with MMCV_WHEEL=<file.whl>, '
            f'or hide the GPU with CUDA_VISIBLE_DEVICES='
        )


def check_ops() -> None:
    """The ops of mmcv load."""
    problem = ops_problem()
    if problem:
        sys.exit(f'make setup: the ops of mmcv do not load: {problem} (see {LOG})')


def check_ready() -> None:
    """Everything imports, and this package from this checkout; says the versions."""
    import mmcv.ops
    import mmdet
    import torch

    import mmdet_frn

    if Path(mmdet_frn.__file__).resolve().parents[1] != Path.cwd():
        sys.exit(f'make setup: mmdet_frn is imported from {mmdet_frn.__file__}')
    cuda = mmcv.ops.get_compiling_cuda_version()
    ops = 'CPU ops' if cuda == 'not available' else f'ops for CUDA {cuda}'
    versions = f'torch {torch.__version__}, mmcv {mmcv.__version__} with {ops}, '
    print(f'.venv is ready: {versions}mmdet {mmdet.__version__}, mmdet_frn {mmdet_frn.__version__}')


CHECKS = {
    check.__name__.removeprefix('check_'): check
    for check in (
        check_venv, check_compiler, check_disk, check_wheel, check_nvcc, check_ops, check_ready,
    )
}  # fmt: skip


def forget_incomplete(venv: Path) -> None:
    """Remove the metadata of packages that a stopped pip left in part, which it takes for whole."""
    for metadata in venv.glob('lib/python*/site-packages/*.dist-info'):
        record = metadata / 'RECORD'
        lines = csv.reader(record.open(encoding='utf-8')) if record.is_file() else [('RECORD?', 'x', '')]
        # Compiled bytecode has no hash; it may be missing without harm.
        if any(digest and not (metadata.parent / path).exists() for path, digest, _ in lines):
            print(f'      {metadata.stem} lacks files, and is installed again')
            shutil.rmtree(metadata)


def jobs(cores: int, memory_bytes: int) -> int:
    """Return how many compilers fit, at 2 GiB each."""
    return max(1, min(cores, memory_bytes // (2 * GIB)))


def memory_bytes() -> int:
    """Return the memory that this process may use, a container's limit included."""
    limit = Path('/sys/fs/cgroup/memory.max')
    text = limit.read_text().strip() if limit.is_file() else ''
    total = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return min(total, int(text)) if text.isdigit() else total


def run(title: str, *command: str) -> None:
    """Run a command; show a line every half minute, and the last lines of its output if it fails."""
    forget_incomplete(Path('.venv'))
    if title:
        print(title, flush=True)
    os.environ.setdefault('MAX_JOBS', str(jobs(len(os.sched_getaffinity(0)), memory_bytes())))
    start = time.monotonic()
    with LOG.open('ab') as log:
        log.write(f'\n$ {shlex.join(command)}\n'.encode())
        log.flush()
        begin = log.tell()
        # The lock of the set-up stays held as long as the command lives, hence close_fds.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False
        )
    while True:
        try:
            status = process.wait(BEAT_SECONDS)
            break
        except subprocess.TimeoutExpired:
            compiled = re.findall(r'\[\d+/\d+\]', output(begin))
            print(f'      {time.monotonic() - start:.0f} s', *compiled[-1:], flush=True)
    if status:
        for line in output(begin).splitlines()[-TAIL_LINES:]:
            # Without the hosts of package indexes, which may hold a password.
            print('      |', re.sub(r"(://|host=')[^/'\s]+", r'\1...', line))
        sys.exit(
            f'make setup: {title.strip() or command[-1]} failed ({status}); full output in {LOG}. '
            f'Where an index was not reached, check `pip config list`; where memory ran out, set '
            f'MAX_JOBS=1. Then run the same command again: it resumes'
        )


def output(begin: int) -> str:
    """Return the end of what the log has from a position on."""
    with LOG.open('rb') as log:
        log.seek(max(begin, LOG.stat().st_size - (1 << 16)))
        return log.read().decode(errors='replace')


if __name__ == '__main__':
    if sys.argv[1] == 'run':
        run(*sys.argv[2:])
    else:
        for name in sys.argv[2:]:
            CHECKS[name]()
