"""The evidence on small data: BN, GN, FRN and their activations, with six seeds or in five folds.

python tools/evidence.py                    generated shapes, 2 images a step, six seeds
python tools/evidence.py --data FOLDER      a COCO-format folder, five folds, 8, 4 and 2 images

It prints the expected duration first. Run it again to resume.
"""

import argparse
import sys
from pathlib import Path

from mmdet_frn.datasets import write_shapes
from mmdet_frn.experiments.main import Output, plan_comparison, show_plan, train_and_report
from mmdet_frn.experiments.plan import Setup
from mmdet_frn.utils.errors import one_line_errors
from mmdet_frn.utils.files import write_text_atomic

BASES = Path(__file__).resolve().parents[1] / 'configs' / '_base_'
# FRN by where tau starts, and GN with FRN's activation: what of a difference is the activation's.
DETECTORS = {
    'bn': "'BN'",
    'gn': "'GN'",
    'gn-tlu': "'GN', dict(type='TLU', init=-0.5)",
    'frn-tau-0': "'FRN', dict(type='TLU', init=0.0)",
    'frn-tau-05': "'FRN', dict(type='TLU', init=-0.5)",
    'frn-tau-1': "'FRN', dict(type='TLU', init=-1.0)",
}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data', type=Path, help='COCO-format folder (default: generated shapes)')
    parser.add_argument('--work-dir', type=Path, help='where everything goes (work_dirs/evidence)')
    parser.add_argument('--jobs', type=int, help='runs at once (one a core, 1 GB memory each)')
    parser.add_argument('--steps', type=int, help='training steps at 2 images (from the config)')
    parser.add_argument('--plan', action='store_true', help='print the plan; train nothing')
    return parser.parse_args()


def write_configs(folder: Path, kind: str) -> list[Path]:
    """Write a config for each detector on the data of ``kind``, and return them."""
    base = BASES / f'retinanet_r18-w32_fpn_{kind}.py'
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, arguments in DETECTORS.items():
        path = folder / f'retinanet_r18-w32_fpn_{name}_{kind}.py'
        lines = [f'_base_ = {str(base)!r}', 'from mmdet_frn.norms import use_norm', '']
        write_text_atomic(path, '\n'.join([*lines, f'model = use_norm({arguments})', '']))
        paths.append(path)
    return paths


def main() -> int:
    """Print the plan, then train and report."""
    args = parse_args()
    name = f'evidence_{args.data.name}' if args.data else 'evidence'
    work_dir = args.work_dir or Path('work_dirs', name)
    with one_line_errors():
        if args.data:
            kind, images = 'bccd', [8, 4, 2]
            setup = Setup(data=args.data, folds=5, steps=args.steps)
        else:
            kind, images = 'shapes', [2]
            data = write_shapes(work_dir / 'shapes', 300, 100)
            setup = Setup(seeds=range(6), data=data, steps=args.steps)
        configs = write_configs(work_dir / 'configs', kind)
        runs = plan_comparison(configs, images, work_dir, setup)
        show_plan(runs, work_dir, setup, repeats=5, jobs=args.jobs)
        if args.plan:
            return 0
        output = Output(f'Norms on {setup.data}')
        return train_and_report(runs, work_dir, setup, output, args.jobs)


if __name__ == '__main__':
    sys.exit(main())
