"""Compile the CUDA sources as host C++ together with the emulated machine."""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[2] / 'mmdet_frn' / 'ops' / 'csrc'
LIBRARY = 'emulated.so'

# What no header can stand in for. Each pattern must be found in the sources: one that no longer is
# would leave a check out unseen.
EDITS = {
    'shared memory': (
        r'__shared__ ([\w:<> ]+) (\w+)((?:\[\w+\])+);',
        r'auto& \2 = emulation::shared<\1\3, @>();',
    ),
    'launch bounds': (
        r'__launch_bounds__\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)(\s*\w+\([^()]*\) \{)',
        r'\2 emulation::check_bounds(\1);',
    ),
    'prefetch': (
        r'asm volatile\("prefetch\.global\.L2 \[%0\];" ::"l"\((.*?)\)\);',
        r'emulation::prefetch(\1);',
    ),
    # Few rows already take several launches.
    'rows of a launch': (r'kMaxRows = 1 << 27;', r'kMaxRows = 384;'),
}
FLAGS = ['-std=c++17', '-O1', '-fPIC', '-w', '-ffp-contract=off', '-U_FORTIFY_SOURCE']
HOOKS = ['-fsanitize=thread', '--param=tsan-instrument-func-entry-exit=0', '-D__CUDA_ARCH__=900']


def compiler() -> str | None:
    """The C++ compiler named by CXX, g++ by default; None if it is not there."""
    return shutil.which(os.environ.get('CXX', 'g++'))


def prepare(folder: Path, planted: tuple[str, str, str] | None = None) -> None:
    """Copy the sources to ``folder`` with EDITS made.

    Args:
        planted: a file's name, a text in it and what replaces it: a bug that tests want seen.
    """
    found = dict.fromkeys(EDITS, 0)
    number = iter(range(10**6))
    headers = [CSRC / name for name in ('evonorm.h', 'frn.h', 'group_norm.h', 'pointwise.h')]
    for path in (*headers, *sorted((CSRC / 'cuda').iterdir())):
        text = path.read_text(encoding='utf-8')
        if planted is not None and path.name == planted[0]:
            assert text.count(planted[1]) == 1, f'{planted[1]!r} must be once in {path.name}'
            text = text.replace(*planted[1:])
        if planted is not None:  # half of the dtypes compile in half the time, one function in less
            text = re.sub(r'case at::k(Double|BFloat16):\s+return f\(\w+\(\)\);', '', text)
            text = re.sub(
                r'(?m)^template bool (\w+\(.*, (?:double|__nv_bfloat16)>&\));',
                r'template <> bool \1 { return false; }',
                text,
            )
            text = re.sub(r'case Function::k(Tlu|Dyt):\s+return f\(\w+\(\), t\);', '', text)
        for name, (pattern, replacement) in EDITS.items():
            text, count = re.subn(pattern, replacement, text)
            found[name] += count
        text = re.sub('@', lambda _: str(next(number)), text)
        target = folder / path.relative_to(CSRC)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding='utf-8')
    missing = [name for name, count in found.items() if count == 0]
    assert not missing, f'not found in the CUDA sources: {missing}; bring EDITS up to date'


def run(command: list) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, f'{command}\n{done.stderr[:4000]}'


def build(folder: Path, only: str = '', objects: Path | None = None, planted=None) -> Path:
    """Build the emulated op in ``folder`` and return its library.

    Args:
        only: name of the one ``.cu`` file to compile; the others' objects are taken from
            ``objects``, the folder of an earlier build.
        planted: see :func:`prepare`.
    """
    prepare(folder, planted)
    include = [f'-I{HERE}', f'-I{HERE / "include"}', f'-I{folder}']
    jobs = {
        path: [*FLAGS, *HOOKS, *include, '-x', 'c++', path]
        for path in sorted((folder / 'cuda').glob('*.cu'))
    }
    for path in (HERE / 'entry.cpp', *(HERE / 'machine').glob('*.cpp')):
        jobs[path] = [*FLAGS, *include, path]
    links = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = []
        for path, job in jobs.items():
            target = folder / f'{path.name}.o'
            if objects is not None and path.name != only:
                target = objects / target.name
            else:
                running.append(pool.submit(run, [compiler(), '-c', *job, '-o', target]))
            links.append(target)
        for job in running:
            job.result()
    library = folder / LIBRARY
    run([compiler(), '-shared', '-o', library, *links, '-ldl'])
    return library
