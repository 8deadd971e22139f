"""Evaluate a checkpoint, with MMDetection's command line: tools/test.py CONFIG CHECKPOINT."""

import argparse

from mmengine.config import DictAction

from mmdet_frn.engine.checkpoint import add_unsafe_checkpoint, set_unsafe_checkpoint
from mmdet_frn.engine.evaluate import evaluate_detector
from mmdet_frn.utils.data_root import add_data_root, set_data_root
from mmdet_frn.utils.errors import one_line_errors
from mmdet_frn.utils.launch import add_launcher, end_job, set_local_rank


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Evaluate a detector')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='where the metrics go (work_dirs/<config>)')
    parser.add_argument('--out', help='pickle file for the predictions')
    parser.add_argument('--show', action='store_true', help='show the predictions')
    parser.add_argument(
        '--show-dir', help='folder for images with the predictions, in <work-dir>/<time>/'
    )
    parser.add_argument('--wait-time', type=float, default=2, help='seconds each is shown')
    parser.add_argument(
        '--no-strict',
        action='store_true',
        help="evaluate a checkpoint whose keys or shapes are not the model's",
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings over those of the config, such as test_dataloader.batch_size=4',
    )
    add_data_root(parser)
    add_launcher(parser)
    add_unsafe_checkpoint(parser)
    return parser.parse_args()


def main() -> None:
    """Evaluate."""
    args = parse_args()
    set_local_rank(args)
    set_data_root(args)
    set_unsafe_checkpoint(args)
    with one_line_errors():
        evaluate_detector(
            args.config,
            args.checkpoint,
            work_dir=args.work_dir,
            out=args.out,
            show=args.show,
            show_dir=args.show_dir,
            wait_time=args.wait_time,
            strict=not args.no_strict,
            options=args.cfg_options,
            launcher=args.launcher,
        )
    end_job()


if __name__ == '__main__':
    main()
