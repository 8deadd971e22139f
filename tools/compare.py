"""Train and evaluate detectors that differ in their norm, and print the AP table.

    python tools/compare.py configs/bccd/*-all_*.py --images-per-gpu 8 4 2
    python tools/compare.py CONFIGS --data FOLDER --seeds 0 1 2 --folds 5
    python tools/compare.py --report-only --work-dir WORK_DIR

Run it again with the same arguments after any interruption: finished runs are kept, an unfinished
one resumes from its last checkpoint.
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from mmdet_frn.experiments import main as experiments
from mmdet_frn.experiments.plan import Setup
from mmdet_frn.utils.data_root import add_data_root, set_data_root
from mmdet_frn.utils.errors import UsageError, one_line_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='*', help='config files, one a row of the table')
    parser.add_argument(
        '--images-per-gpu', nargs='+', type=int, default=[8, 4, 2], help='columns (default 8 4 2)'
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/compare'), help='where everything goes'
    )
    parser.add_argument('--seeds', nargs='+', type=int, help='seeds of each run (default 0)')
    parser.add_argument('--gpus', type=int, default=1, help='GPUs, or CPU processes, of each run')
    parser.add_argument(
        '--jobs', type=int, help='runs at once (one on a GPU; else one a core, 1 GB memory each)'
    )
    parser.add_argument(
        '--steps', type=int, help="training steps at a config's own batch size (from the config)"
    )
    parser.add_argument(
        '--data', help='COCO-format folder, in place of the datasets in the configs'
    )
    parser.add_argument(
        '--folds', type=int, help='cross-validation: every image of --data is a test image once'
    )
    parser.add_argument(
        '--bootstrap',
        type=int,
        default=experiments.Output.samples,
        metavar='N',
        help='samples of test images for the intervals; 0 for none (1000)',
    )
    parser.add_argument('--plan', action='store_true', help='print the runs; train nothing')
    parser.add_argument('--measure', action='store_true', help='with --plan: time training steps')
    parser.add_argument('--price', type=float, help='with --plan: of a GPU-hour')
    parser.add_argument(
        '--report-only', action='store_true', help='report on the runs in --work-dir; train nothing'
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
        output = experiments.Output(samples=args.bootstrap)
        if args.report_only:
            setup = Setup(seeds=args.seeds or (), data=args.data)
            experiments.report_existing(args.work_dir, setup, output)
            return 0
        if not args.configs:
            raise UsageError('name at least one config, such as configs/shapes/*-all_*.py')
        setup = Setup(
            num_gpus=args.gpus,
            seeds=args.seeds or (0,),
            steps=args.steps,
            data=args.data,
            folds=args.folds,
            options=args.cfg_options,
        )
        runs = experiments.plan_comparison(args.configs, args.images_per_gpu, args.work_dir, setup)
        if args.plan:
            repeats = 5 if args.measure else 0
            experiments.show_plan(
                runs, args.work_dir, setup, repeats=repeats, price=args.price, jobs=args.jobs
            )
            return 0
        return experiments.train_and_report(runs, args.work_dir, setup, output, args.jobs)


if __name__ == '__main__':
    sys.exit(main())
