"""The main job on an embedded default: BN, GN and FRN detectors trained and compared in minutes.

python tools/demo.py                    on generated shapes, three seeds
python tools/demo.py --data FOLDER      on your images, a COCO-format folder, one seed
"""

import argparse
import sys
from pathlib import Path

from mmdet_frn.datasets import write_shapes
from mmdet_frn.experiments.main import Output, plan_comparison, train_and_report
from mmdet_frn.experiments.plan import Setup
from mmdet_frn.utils.errors import one_line_errors

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data', type=Path, help='COCO-format folder (default: generated shapes)')
    parser.add_argument('--work-dir', type=Path, help='where everything goes (work_dirs/demo)')
    parser.add_argument('--images-per-gpu', nargs='+', type=int, default=[2], help='columns (2)')
    parser.add_argument('--seeds', nargs='+', type=int, help='(0 1 2; with --data 0)')
    parser.add_argument('--jobs', type=int, help='runs at once (one a core, 1 GB memory each)')
    parser.add_argument(
        '--images',
        nargs=2,
        type=int,
        default=[300, 100],
        metavar=('TRAIN', 'VAL'),
        help='how many images of shapes to generate (300 100)',
    )
    parser.add_argument('--steps', type=int, help='training steps at 2 images (from the config)')
    return parser.parse_args()


def main() -> int:
    """Run the demo."""
    args = parse_args()
    work_dir = args.work_dir or Path('work_dirs', f'demo_{args.data.name}' if args.data else 'demo')
    with one_line_errors():
        data = args.data
        if data is None:
            data = write_shapes(work_dir / 'shapes', *args.images)
            print(f'Generated images of shapes in {data}')
        seeds = args.seeds or ([0] if args.data else [0, 1, 2])
        setup = Setup(seeds=seeds, data=data, steps=args.steps)
        # Photographs want the larger input of the blood cells' configs.
        configs = sorted(CONFIGS.glob('bccd/*-all_*.py' if args.data else 'shapes/*-all_*.py'))
        runs = plan_comparison(configs, args.images_per_gpu, work_dir, setup)
        output = Output(f'BN, GN and FRN on {data}')
        status = train_and_report(runs, work_dir, setup, output, args.jobs)
    print(
        '\nWhat you may conclude: a difference whose interval excludes 0 holds for these trained\n'
        f'detectors and images; {len(seeds)} seed(s) are too few to rank the norms, which takes '
        'six (make evidence).\n'
        '\nNext: python tools/compare.py --help    more batch sizes, seeds, your own configs\n'
        '      make demo DATA=<folder>           on your own images in COCO format\n'
        '      README.md                         FRN in your own config, and full COCO'
    )
    return status


if __name__ == '__main__':
    sys.exit(main())
