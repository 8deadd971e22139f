"""Time FRN+TLU beside BN+ReLU, GN+ReLU and others on every map that a RetinaNet normalises.

python -m benchmarks.ops            what `make bench` runs; writes CSV, Markdown and PNG
python -m benchmarks.ops --quick    a run of a minute that shows that everything works
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

import torch

from benchmarks.contenders import CONTENDERS, DEFAULT, contender_name
from benchmarks.device import file_stem
from benchmarks.maps import TINY, find_maps
from benchmarks.measure import DTYPES, LAYOUTS, Settings, measure
from benchmarks.report import write_report
from benchmarks.rows import FORWARD, merge, read_csv
from mmdet_frn.norms import NORMS
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError, one_line_errors

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/table6/retinanet_r101_fpn_bn-all_8xb2-500k_coco-1024.py'


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--config', default=CONFIG, help='detector with BN throughout (RetinaNet R101-FPN)')
    add('--size', type=int, default=1024, help='height and width of its input (%(default)s)')
    add('--images', type=int, default=2, help='images in a batch (%(default)s)')
    add('--dtypes', nargs='+', choices=list(DTYPES), default=['fp32', 'bf16'])
    add('--layouts', nargs='+', choices=list(LAYOUTS), default=list(LAYOUTS))
    add('--maps', default='', help='regular expression of map names, as 256x (all)')
    add(
        '--contenders',
        nargs='+',
        choices=list(CONTENDERS),
        default=DEFAULT,
        help='of the table of norms and others (%(default)s)',
    )
    add('--min-time', type=float, default=0.5, help='seconds a measurement (%(default)s)')
    add('--rounds', type=int, default=5, help='turns that they are spread over (%(default)s)')
    add('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='(%(default)s)')
    add('--out', type=Path, help='folder (docs/results/ops)')
    add('--append', action='store_true', help='keep the rows of earlier runs that this one lacks')
    add('--table', action='store_true', help='every norm of the table, into docs/results/norms')
    add('--quick', action='store_true', help='small maps, short times, into work_dirs/benchmark')
    args = parser.parse_args()
    if args.table:
        args.contenders = [contender_name(row) for row in NORMS]
    if args.quick:
        args.size, args.min_time, args.rounds = 128, 0.01, 2
    if args.out is None:
        results = ROOT / 'docs/results' / ('norms' if args.table else 'ops')
        args.out = Path('work_dirs/benchmark') if args.quick else results
    return args


def main() -> int:
    """Run the benchmark."""
    args = parse_args()
    with one_line_errors('run it with --append and --maps to resume'):
        run(args)
    return 0


def run(args: argparse.Namespace) -> None:
    """Measure, print a line for each map and write the report after each."""
    settings = Settings(torch.device(args.device), args.images, args.min_time, args.rounds)
    maps = [
        m
        for m in (*find_maps(load_config(args.config), args.size), TINY)
        if re.search(args.maps, m.name)
    ]
    if not maps:
        raise UsageError(f'--maps {args.maps} matches no feature map')
    contenders = {name: CONTENDERS[name] for name in args.contenders}
    stem = args.out / file_stem('ops', settings.device)
    rows = read_csv(stem.with_name(stem.name + '.csv')) if args.append else []
    command = shlex.join(['python', '-m', 'benchmarks.ops', *sys.argv[1:]])
    for dtype in args.dtypes:
        for layout in args.layouts:
            for what in maps:
                new = measure(what, dtype, layout, settings, contenders)
                times = ', '.join(
                    f'{row.contender} ' + (f'{row.median_us / 1e3:.3g}' if row.median_us else '-')
                    for row in new
                    if row.mode != FORWARD
                )
                print(f'{what.name} {dtype} {layout}, forward+backward ms: {times}', flush=True)
                rows = merge(rows, new)
                paths = write_report(rows, stem, command)
    print(paths[1].read_text(encoding='utf-8').split('\n## ')[0])
    print('written:', *paths)


if __name__ == '__main__':
    sys.exit(main())
