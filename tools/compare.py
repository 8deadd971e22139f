"""Train and evaluate detectors that differ in their normalisation, and print the AP table.

    python tools/compare.py configs/bccd/*-all_*.py --images-per-gpu 8 4 2

Run it again with the same arguments after any interruption: finished cells are kept, the
unfinished one goes on from its last checkpoint.
"""

import argparse
import sys

from mmengine.config import DictAction

from mmdet_frn.compare.main import compare
from mmdet_frn.utils.data_root import add_data_root, set_data_root
from mmdet_frn.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='+', help='config files, one a row of the table')
    parser.add_argument(
        '--images-per-gpu', nargs='+', type=int, default=[8, 4, 2], help='columns (default 8 4 2)'
    )
    parser.add_argument('--work-dir', default='work_dirs/compare', help='where everything goes')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='seeds of each cell')
    parser.add_argument('--gpus', type=int, default=1, help='GPUs, or CPU processes, of each cell')
    parser.add_argument(
        '--steps', type=int, help="training steps at a config's own batch size (from the config)"
    )
    parser.add_argument(
        '--data', help='COCO-format folder, in place of the datasets in the configs'
    )
    add_data_root(parser)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings for every config, such as optim_wrapper.optimizer.lr=0.02',
    )
    return parser.parse_args()


def main() -> int:
    """Run the comparison."""
    args = parse_args()
    set_data_root(args)
    with one_line_errors():
        return compare(
            args.configs,
            args.images_per_gpu,
            args.work_dir,
            seeds=args.seeds,
            num_gpus=args.gpus,
            steps=args.steps,
            data=args.data,
            options=args.cfg_options,
        )


if __name__ == '__main__':
    sys.exit(main())
