"""Check a folder of COCO 2017, and download what it lacks.

    python tools/prepare_coco.py                what is there, what is missing
    python tools/prepare_coco.py --deep         decode every image as well
    python tools/prepare_coco.py --download     download what is missing, 20 GB at most

Run the same command again after any interruption: it resumes, and overwrites nothing. Exit status 0
if all is good, 1 if something is missing or bad, 2 for wrong arguments.
"""

import argparse
import shutil
import sys
from pathlib import Path

from mmdet_frn.datasets.coco2017 import prepare_coco
from mmdet_frn.utils.data_root import ENV, data_root
from mmdet_frn.utils.errors import UsageError, one_line_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    root = data_root() / 'coco'
    add('--root', type=Path, default=root, help=f'folder of COCO (${ENV}/coco: %(default)s)')
    both = ['train', 'val']
    add('--splits', nargs='+', choices=both, default=both, help='which part of COCO (both)')
    add('--deep', action='store_true', help='decode every image')
    add('--download', action='store_true', help='download what is missing')
    add('--base-url', help='server (http://images.cocodataset.org)')
    return parser.parse_args()


def check_args(args: argparse.Namespace) -> None:
    """Raise UsageError for arguments that do not go together."""
    if not args.download and args.base_url:
        raise UsageError('--base-url goes with --download; add it or leave it out')
    if args.base_url is not None and not args.base_url.startswith(('http://', 'https://')):
        raise UsageError(f'--base-url must start with http:// or https://, got {args.base_url}')
    if args.download and shutil.which('curl') is None:
        raise UsageError('--download needs the program curl; install it (apt install curl)')
    if args.root.exists() and not args.root.is_dir():
        raise UsageError(f'--root {args.root} is not a directory; name one')
    if not args.download and not args.root.exists():
        raise UsageError(f'--root {args.root} does not exist; name COCO, or add --download')


def main() -> int:
    """Check, and download if asked to."""
    args = parse_args()
    with one_line_errors():
        check_args(args)
        base_url = (args.base_url or '') if args.download else None
        return prepare_coco(args.root, args.splits, deep=args.deep, base_url=base_url)


if __name__ == '__main__':
    sys.exit(main())
