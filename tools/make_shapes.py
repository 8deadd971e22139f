"""Write the generated detection set of shapes: ``python tools/make_shapes.py data/shapes``."""

from __future__ import annotations

import argparse
import sys

from mmdet_frn.datasets import write_shapes


def main() -> None:
    """Write the set that the command line asks for."""
    parser = argparse.ArgumentParser(
        description='Write a COCO-format detection set of shapes on textured backgrounds.'
    )
    parser.add_argument('out', help='folder of the set; left as it is when already complete')
    parser.add_argument('--train', type=int, default=300, help='training images (%(default)s)')
    parser.add_argument('--val', type=int, default=100, help='validation images (%(default)s)')
    parser.add_argument('--size', type=int, default=128, help='height and width (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed (%(default)s)')
    args = parser.parse_args()
    try:
        root = write_shapes(args.out, args.train, args.val, args.size, args.seed)
    except (ValueError, OSError) as error:
        sys.exit(f'make_shapes: {error}')
    print(f'{root}: {args.train} training and {args.val} validation images')


if __name__ == '__main__':
    main()
