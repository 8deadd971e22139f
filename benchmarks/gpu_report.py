"""Build, test and time everything on this machine's GPU, into one page for docs/results.

python -m benchmarks.gpu_report            what `make gpu-report` runs; at most 15 minutes
python -m benchmarks.gpu_report --quick --device cpu    small sizes, to try it without a GPU

A part that fails or takes too long does not stop the others. The page is written anew after each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
OK, FAILED, TIMED_OUT, SKIPPED = 'ok', 'FAILED', 'out of time', 'skipped'


@dataclass
class Part:
    """A command of the report.

    Attributes:
        limit: seconds it may take.
        pages: folder in which it writes Markdown files that the report includes, or None.
        table: whether its output is Markdown for the report; else the last lines are quoted.
        needs: program that must be on PATH.
    """

    title: str
    command: list[str]
    limit: int
    pages: Path | None = None
    table: bool = False
    needs: str | None = None
    environ: dict[str, str] = field(default_factory=dict)
    status: str = ''
    seconds: float = 0.0
    output: str = ''

    def run(self, left: float, log: Path) -> None:
        """Run the command for at most ``left`` seconds; ``log`` gets its output."""
        if self.needs and shutil.which(self.needs) is None:
            self.status = f'{SKIPPED}: {self.needs} is not on PATH'
            return
        if left < 1:
            self.status = f'{SKIPPED}: no time left'
            return
        begin = time.monotonic()
        errors = log.with_suffix('.err')
        with log.open('wb') as out, errors.open('wb') as err:
            process = subprocess.Popen(
                self.command,
                stdout=out,
                stderr=err,
                cwd=ROOT,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )
            try:
                code = process.wait(timeout=min(self.limit, left))
                self.status = OK if code == 0 else f'{FAILED} (exit status {code})'
            except subprocess.TimeoutExpired:
                self.status = f'{TIMED_OUT} ({min(self.limit, left):.0f} s)'
            finally:  # also on Ctrl-C: nothing is left running
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        self.seconds = time.monotonic() - begin
        texts = [path.read_text(encoding='utf-8', errors='replace') for path in (log, errors)]
        self.output = '\n'.join(texts if self.status != OK else texts[:1]).strip()

    def to_markdown(self) -> str:
        """Return the part's section."""
        text = f'## {self.title}\n\n`{" ".join(self.command[1:])}`: {self.status}\n\n'
        written = sorted(self.pages.glob('*.md')) if self.pages is not None else []
        if written:
            # Their headings go two levels down, below this part's.
            lines = [n for page in written for n in page.read_text('utf-8').splitlines()]
            return text + '\n'.join(f'##{n}' if n.startswith('#') else n for n in lines) + '\n'
        if self.table and self.status == OK:
            return text + self.output + '\n'
        return text + f'```\n{chr(10).join(self.output.splitlines()[-15:])}\n```\n'


def make_parts(device: str, quick: bool, out: Path) -> list[Part]:
    """Return the parts in the order of what is wanted most."""

    def module(name: str, *options: str) -> list[str]:
        return [PYTHON, '-m', name, *options]

    gpu = device == 'cuda'
    marked = 'gpu' if gpu else 'not gpu and not slow'
    tests = 'tests/test_ops/test_frn_edges.py' if quick else 'tests'
    checked = module('pytest', 'tests/test_ops', '-m', 'gpu and not slow', '-q')
    sizes = ['--size', '128'] if quick else ['--size', '1024']
    return [
        Part('Environment', module('mmdet_frn.collect_env'), 60),
        Part(
            'Build',
            [PYTHON, 'setup.py', 'build_ext', '--inplace'],
            300,
            environ={'FORCE_CUDA': '1' if gpu else '0'},
        ),
        Part('Self-check and library', module('mmdet_frn.collect_env'), 60),
        Part('Tests', module('pytest', tests, '-m', marked, '-q'), 180),
        Part(
            'Ops',
            module(
                *('benchmarks.ops', '--device', device, '--out', str(out / 'ops')),
                *('--dtypes', 'fp32', 'bf16', 'fp16', '--rounds', '2'),
                *('--min-time', '0.01' if quick else '0.1', *sizes),
                *(['--maps', '64x', '--contenders', 'FRN+TLU fused', 'BN+ReLU'] if quick else []),
            ),
            240,
            pages=out / 'ops',
        ),
        *(
            Part(
                f'Training step, R{depth}',
                module(
                    *('benchmarks.model', '--device', device, '--depth', str(depth)),
                    *('--rounds', '1' if quick else '10', *sizes),
                ),
                90,
                table=True,
            )
            for depth in ((50,) if quick else (50, 101))
        ),
        *(
            # Each tensor in an allocation of its own: what lies beyond its end is no other's.
            Part(
                f'compute-sanitizer {tool}',
                ['compute-sanitizer', '--tool', tool, '--error-exitcode', '1', *checked],
                120,
                needs='compute-sanitizer',
                environ={'PYTORCH_NO_CUDA_MEMORY_CACHING': '1'},
            )
            for tool in ('memcheck', 'racecheck', 'initcheck', 'synccheck')
        ),
    ]


def to_markdown(parts: list[Part], title: str) -> str:
    """Return the page: a table of the parts, then the sections of those that have run."""
    table = [f'| {p.title} | {p.status or "not yet run"} | {p.seconds:.0f} s |' for p in parts]
    head = f'# GPU report: {title}\n\n| Part | Result | Time |\n|:--|:--|--:|\n'
    return head + '\n'.join(table) + '\n\n' + '\n'.join(p.to_markdown() for p in parts if p.status)


def run_parts(parts: list[Part], page: Path, title: str, budget: float) -> int:
    """Run all parts within ``budget`` seconds and return how many are not ok."""
    logs = page.with_suffix('.logs')
    logs.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + budget
    for number, part in enumerate(parts):
        print(f'{part.title} ...', end=' ', flush=True)
        part.run(end - time.monotonic(), logs / f'{number:02}.log')
        print(f'{part.status}, {part.seconds:.0f} s', flush=True)
        page.write_text(to_markdown(parts, title), encoding='utf-8')
    print(f'{page}; whole outputs in {logs}')
    return sum(part.status != OK for part in parts)


def main() -> int:
    """Run the report; exit status 1 if a part was not ok."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--device', choices=['cuda', 'cpu'], default='cuda', help='(%(default)s)')
    add('--out', type=Path, default=Path('work_dirs/gpu_report'), help='folder (%(default)s)')
    add('--budget', type=float, default=15, help='minutes in all (%(default)s)')
    add('--only', default='', help='part of the titles to run, as Tests (all)')
    add('--quick', action='store_true', help='small sizes, to try it')
    args = parser.parse_args()
    import torch

    from benchmarks.device import device_name

    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('torch finds no GPU here; --device cpu --quick tries the report without one')
    args.out.mkdir(parents=True, exist_ok=True)
    out = args.out.resolve()
    parts = [p for p in make_parts(args.device, args.quick, out) if args.only in p.title]
    if not parts:
        parser.error(f'--only {args.only} matches no part')
    title = f'{device_name(torch.device(args.device))}, torch {torch.__version__}'
    return int(run_parts(parts, out / 'gpu_report.md', title, 60 * args.budget) > 0)


if __name__ == '__main__':
    sys.exit(main())
