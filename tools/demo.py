"""The main job on an embedded default: BN, GN and FRN detectors trained and compared in minutes.

python tools/demo.py                    on generated shapes
python tools/demo.py --data FOLDER      on your images, a COCO-format folder
"""

import argparse
import sys
from pathlib import Path

from mmdet_frn.compare.main import compare
from mmdet_frn.datasets import write_shapes
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
        status = compare(
            # Photographs want the larger input of the blood cells' configs.
            sorted(CONFIGS.glob('bccd/*-all_*.py' if args.data else 'shapes/*-all_*.py')),
            args.images_per_gpu,
            work_dir,
            data=data,
            steps=args.steps,
            title=f'BN, GN and FRN on {data}',
        )
    print(
        '\nNext: python tools/compare.py --help    more batch sizes, seeds, your own configs\n'
        '      make demo DATA=<folder>           on your own images in COCO format\n'
        '      README.md                         FRN in your own config, and full COCO'
    )
    return status


if __name__ == '__main__':
    sys.exit(main())
