"""Export a detector to ONNX and check it: ``python tools/export_onnx.py CONFIG CHECKPOINT``."""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from mmdet_frn.engine.checkpoint import add_unsafe_checkpoint, set_unsafe_checkpoint
from mmdet_frn.export.main import export
from mmdet_frn.export.onnx import OPSET
from mmdet_frn.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Export a detector to ONNX and check it')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file (random weights)')
    parser.add_argument('-o', '--out', default='model.onnx', help='file to write (%(default)s)')
    parser.add_argument(
        '--images', nargs='+', type=Path, help='images or folders to check on (generated ones)'
    )
    parser.add_argument(
        '--static',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help='one image of this size (any number of images of any size)',
    )
    parser.add_argument('--fp16', action='store_true', help='weights and feature maps in fp16')
    parser.add_argument(
        '--raw', action='store_true', help="the head's outputs, without decoding and NMS"
    )
    parser.add_argument('--opset', type=int, default=OPSET, help='operator set (%(default)s)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings over those of the config, such as model.test_cfg.max_per_img=50',
    )
    add_unsafe_checkpoint(parser)
    return parser.parse_args()


def main() -> int:
    """Export."""
    args = parse_args()
    set_unsafe_checkpoint(args)
    with one_line_errors('run the same command again'):
        return export(
            args.config,
            args.checkpoint,
            args.out,
            images=args.images,
            static=args.static,
            half=args.fp16,
            raw=args.raw,
            opset=args.opset,
            options=args.cfg_options,
        )


if __name__ == '__main__':
    sys.exit(main())
