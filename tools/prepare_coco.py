"""Check a folder of COCO 2017, and fetch what it lacks.

    python tools/prepare_coco.py                what is there, what is missing
    python tools/prepare_coco.py --deep         decode every image as well
    python tools/prepare_coco.py --download     fetch what is missing, 20 GB at most

Run the same command again after any interruption: it goes on where it stopped, and overwrites
nothing. Exit status 0 if all is good, 1 if something is missing or bad, 2 for wrong arguments.
"""

import argparse
import sys

from mmdet_frn.datasets.coco2017 import prepare_coco
from mmdet_frn.utils.data_root import ENV, data_root
from mmdet_frn.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--root', default=data_root() / 'coco', help=f'folder of COCO (${ENV}/coco: %(default)s)'
    )
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=['train', 'val'],
        default=['train', 'val'],
        help='which images and annotations (both)',
    )
    parser.add_argument('--deep', action='store_true', help='decode every image')
    parser.add_argument('--workers', type=int, help='processes of --deep (one a core)')
    parser.add_argument('--download', action='store_true', help='fetch what is missing')
    parser.add_argument('--base-url', help='server (http://images.cocodataset.org)')
    parser.add_argument(
        '--keep-zips', action='store_true', help='keep the archives that were downloaded'
    )
    return parser.parse_args()


def main() -> int:
    """Check, and fetch if asked to."""
    with one_line_errors():
        return prepare_coco(**vars(parse_args()))


if __name__ == '__main__':
    sys.exit(main())
