"""The evidence on small data: every small config with six seeds, and in five folds on your images.

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

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


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
        configs = sorted(CONFIGS.glob(f'{kind}/*.py'))
        runs = plan_comparison(configs, images, work_dir, setup)
        show_plan(runs, work_dir, setup, repeats=5, jobs=args.jobs)
        if args.plan:
            return 0
        output = Output(f'Norms on {setup.data}')
        return train_and_report(runs, work_dir, setup, output, args.jobs)


if __name__ == '__main__':
    sys.exit(main())
