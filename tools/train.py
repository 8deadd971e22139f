"""Train a detector, with MMDetection's command line: ``python tools/train.py CONFIG``."""

import argparse

from mmengine.config import DictAction

from mmdet_frn.engine.checkpoint import add_unsafe_checkpoint, set_unsafe_checkpoint
from mmdet_frn.engine.train import train_detector
from mmdet_frn.utils.data_root import add_data_root, set_data_root
from mmdet_frn.utils.errors import one_line_errors
from mmdet_frn.utils.launch import add_launcher, end_job, set_local_rank


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Train a detector')
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='logs and checkpoints (work_dirs/<config>)')
    parser.add_argument('--amp', action='store_true', help='mixed precision, on a GPU')
    parser.add_argument(
        '--channels-last', action='store_true', help='train in channels_last memory format'
    )
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate to the batch size'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint; without a value, from the last one in the work directory',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings over those of the config, such as train_dataloader.batch_size=4',
    )
    add_data_root(parser)
    add_launcher(parser)
    add_unsafe_checkpoint(parser)
    return parser.parse_args()


def main() -> None:
    """Train."""
    args = parse_args()
    set_local_rank(args)
    set_data_root(args)
    set_unsafe_checkpoint(args)
    with one_line_errors('add --resume to go on from the last checkpoint'):
        train_detector(
            args.config,
            work_dir=args.work_dir,
            amp=args.amp,
            channels_last=args.channels_last,
            auto_scale_lr=args.auto_scale_lr,
            resume=args.resume,
            options=args.cfg_options,
            launcher=args.launcher,
        )
    end_job()


if __name__ == '__main__':
    main()
