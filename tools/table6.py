"""Table 6 of the paper on COCO: BN*, BN, GN and FRN at 8, 4 and 2 images per GPU.

python tools/table6.py plan --measure     the runs and their cost
python tools/table6.py run                train, evaluate and report; again, to resume
python tools/table6.py report             the table of the finished runs

With fewer than 8 GPUs (--gpus 1) each does the work of several by accumulating gradients. --scale
0.0002 is a smoke run on a CPU; everything it writes says so.
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from mmdet_frn.experiments.main import show_plan, train
from mmdet_frn.experiments.paper import BASE_LRS, IMAGES_PER_GPU, NORMS, NUM_GPUS
from mmdet_frn.experiments.plan import Setup
from mmdet_frn.experiments.runs import Run
from mmdet_frn.experiments.slurm import submit, write_array
from mmdet_frn.experiments.smoke import Scale
from mmdet_frn.experiments.table6 import (
    keep_protocol,
    plan_table6,
    report_table6,
    table6_setup,
    train_images,
)
from mmdet_frn.utils.data_root import add_data_root, set_data_root
from mmdet_frn.utils.errors import UsageError, one_line_errors

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'table6'


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument('--work-dir', type=Path, default=Path('work_dirs/table6'))
    choice = argparse.ArgumentParser(add_help=False)
    choice.add_argument(
        '--norms',
        '--methods',
        nargs='+',
        default=NORMS,
        help="rows, of 'BN*' BN GN FRN (all)",
    )
    choice.add_argument(
        '--images-per-gpu', nargs='+', type=int, default=IMAGES_PER_GPU, help='columns (8 4 2)'
    )
    choice.add_argument(
        '--base-lr', nargs='+', type=float, default=BASE_LRS, help='to search (0.01 0.05 0.1)'
    )
    choice.add_argument('--gpus', type=int, default=NUM_GPUS, help='1, 2, 4 or 8 (8)')
    choice.add_argument('--scale', type=float, default=1.0, help='below 1: a smoke run (1)')
    choice.add_argument('--seed', type=int, default=0, help='of every run (0)')
    add_data_root(choice)
    choice.add_argument(
        '--data', help='COCO-format folder, in place of the datasets in the configs'
    )
    choice.add_argument('--cfg-options', nargs='+', action=DictAction, help='for every config')

    plan = commands.add_parser('plan', parents=[place, choice], help='runs, steps and cost')
    plan.add_argument('--measure', action='store_true', help='time training steps on this machine')
    plan.add_argument('--repeats', type=int, default=5, help='timed steps of each (5)')
    plan.add_argument('--price', type=float, help='of a GPU-hour')

    training = commands.add_parser('run', parents=[place, choice], help='train, evaluate, report')
    training.add_argument(
        '--run', '--cell', type=int, dest='number', help='only this one, by its number in the plan'
    )
    training.add_argument('--submit', action='store_true', help='as a Slurm array')
    training.add_argument('--dry-run', action='store_true', help='write the array, submit nothing')
    training.add_argument('--at-once', type=int, help='most tasks of the array at a time')
    training.add_argument('--jobs', type=int, help='runs at once')
    training.add_argument(
        '--slurm-option',
        action='append',
        default=[],
        metavar='OPTION',
        help='for sbatch, such as --slurm-option=--partition=gpu; may be given again',
    )

    commands.add_parser('report', parents=[place], help='the table of what is finished')
    return parser.parse_args()


def main() -> int:
    """Plan, run or report."""
    args = parse_args()
    with one_line_errors():
        if args.command == 'report':
            report_table6(args.work_dir, CONFIGS)
            return 0
        set_data_root(args)
        setup = table6_setup(
            num_gpus=args.gpus,
            seeds=(args.seed,),
            base_lrs=args.base_lr,
            scale=Scale(args.scale),
            data=args.data,
            options=args.cfg_options,
        )
        runs = plan_table6(
            CONFIGS, args.work_dir, setup, norms=args.norms, images_per_gpu=args.images_per_gpu
        )
        if args.command == 'plan':
            show_plan(
                runs,
                args.work_dir,
                setup,
                repeats=args.repeats if args.measure else 0,
                price=args.price,
                jobs=1,
                train_images=train_images(setup),
            )
            return 0
        return _train(args, runs, setup)


def _train(args: argparse.Namespace, runs: list[Run], setup: Setup) -> int:
    """Train here, or hand the runs to a cluster."""
    if args.number is not None and not 1 <= args.number <= len(runs):
        raise UsageError(f'--run must be >= 1 and <= {len(runs)}, got {args.number}')
    keep_protocol(args.work_dir, setup, runs)
    if args.submit or args.dry_run:
        script = write_array(
            runs,
            _task_command(),
            args.work_dir,
            at_once=args.at_once,
            options=args.slurm_option,
        )
        print(f'Wrote {script}')
        print(f'dry run, not submitted: sbatch {script}' if args.dry_run else submit(script))
        return 0
    chosen = runs if args.number is None else [runs[args.number - 1]]
    failed = train(chosen, args.jobs)
    report_table6(args.work_dir, CONFIGS)
    return 1 if failed else 0


def _task_command() -> list[str]:
    """Return this command line without what asks for an array."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--submit', action='store_true')
    parser.add_argument('--dry-run', action='store_true')
    parser.add_argument('--at-once')
    parser.add_argument('--slurm-option', action='append')
    _, kept = parser.parse_known_args(sys.argv[1:])
    return [sys.executable, sys.argv[0], *kept]


if __name__ == '__main__':
    sys.exit(main())
