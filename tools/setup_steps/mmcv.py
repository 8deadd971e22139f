"""mmcv with its compiled ops: pip alone does not make sure of them."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .console import Steps
from .errors import SetupError
from .venv import VirtualEnv

# Loads the extension: an mmcv built without ops, or against another torch, fails here.
OPS_PROBE = """
import json
from mmcv.ops import get_compiling_cuda_version
print(json.dumps(get_compiling_cuda_version()))
"""
CUDA_PROBE = """
import json, torch
from torch.utils.cpp_extension import CUDA_HOME
print(json.dumps([torch.cuda.is_available(), bool(CUDA_HOME), torch.version.cuda]))
"""
# Settings that change what is compiled, and of which the name of a cached wheel says nothing.
BUILD_SETTINGS = ('FORCE_CUDA', 'TORCH_CUDA_ARCH_LIST')


def ask(venv: VirtualEnv, code: str, environ: Mapping[str, str]) -> tuple[object, str]:
    """Run code in the environment.

    Returns:
        What it printed last, read as JSON (None where it failed), and its error's last line.
    """
    process = subprocess.run(
        [venv.python, '-I', '-c', code], capture_output=True, text=True, env=dict(environ)
    )
    if process.returncode:
        return None, (process.stderr.strip().splitlines() or ['no message'])[-1]
    return json.loads(process.stdout.splitlines()[-1]), ''


def ops_problem(venv: VirtualEnv, environ: Mapping[str, str], cuda: bool) -> str:
    """Return what is wrong with the installed mmcv's ops, '' if nothing is.

    Args:
        venv: the environment.
        environ: environment variables.
        cuda: whether the ops must run on CUDA devices too.
    """
    compiled_for, error = ask(venv, OPS_PROBE, environ)
    if error:
        return error
    if cuda and compiled_for == 'not available':
        return 'compiled for the CPU only'
    return ''


def needs_cuda(venv: VirtualEnv, environ: Mapping[str, str]) -> tuple[bool, bool, str]:
    """Return whether the ops must be built for CUDA, whether nvcc is there, and torch's CUDA.

    The rule is that of mmcv's own build: FORCE_CUDA=1, or a CUDA device that torch can use.
    """
    answer, error = ask(venv, CUDA_PROBE, environ)
    if error:
        raise SetupError(f'torch does not import ({error}). Remove .venv and run `make setup`')
    available, has_nvcc, torch_cuda = answer
    return available or environ.get('FORCE_CUDA') == '1', has_nvcc, torch_cuda


def install_mmcv(
    steps: Steps,
    venv: VirtualEnv,
    pip_install: list[str],
    pin: str,
    wheel: Path | None,
    rebuild: bool,
    environ: Mapping[str, str],
) -> None:
    """Install mmcv and make sure that its ops load.

    Args:
        steps: takes the commands.
        venv: the environment, torch already in it.
        pip_install: the command that installs under the constraints, without build isolation.
        pin: mmcv's requirement, ``onedl-mmcv==...``.
        wheel: a prebuilt wheel to take instead of building, or None.
        rebuild: compile it anew whatever pip has: a build setting changed, which no name tells.
        environ: environment variables of the build.

    Raises:
        SetupError: CUDA ops are wanted and nvcc is missing, the build failed, or the ops do not
            load after all.
    """
    cuda, has_nvcc, torch_cuda = needs_cuda(venv, environ)
    source = str(wheel or pin)
    sound = venv.has(pin) and not ops_problem(venv, environ, cuda)
    if wheel is None and cuda and not has_nvcc and (rebuild or not sound):
        raise SetupError(
            'mmcv needs nvcc to compile its ops for CUDA, and no CUDA toolkit was found: install '
            f'toolkit {torch_cuda} and set CUDA_HOME, name a built wheel with '
            'MMCV_WHEEL=<file.whl>, or hide the GPU with CUDA_VISIBLE_DEVICES= (CPU only)'
        )
    remedy = (
        'The last lines say which file did not compile or what pip lacked; with too little memory '
        'set MAX_JOBS=1. Then run `make setup` again'
    )

    def replace(*options: str) -> None:
        # -v brings the compiler's lines, from which the progress is read.
        command = [*pip_install, '-v', '--force-reinstall', '--no-deps', *options, source]
        steps.command(command, environ, remedy)

    if rebuild and wheel is None:
        replace('--no-cache-dir')
    elif wheel is not None or (venv.has(pin) and not sound):
        replace()
    # mmcv where it is not there yet, and what it depends on.
    steps.command([*pip_install, '-v', pin], environ, remedy)
    problem = ops_problem(venv, environ, cuda)
    if problem and wheel is None and not rebuild:
        steps.say(
            f"      mmcv's ops do not load ({problem}): pip's cache held a wheel built otherwise. "
            'Building it once more without the cache; this takes minutes'
        )
        replace('--no-cache-dir')
        problem = ops_problem(venv, environ, cuda)
    if problem:
        what = f'MMCV_WHEEL={wheel}' if wheel else pin
        raise SetupError(
            f"{what} is installed, but mmcv's ops do not load: {problem}. "
            + (
                'Give a wheel built against the torch of constraints.txt, or leave MMCV_WHEEL out'
                if wheel
                else f'See {venv.log} for the build, remove .venv and run `make setup` again'
            )
        )
