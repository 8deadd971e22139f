"""Time a training step of RetinaNet with norms of the table, FRN on the reference and fused ops.

python -m benchmarks.model

Forward, loss and backward of R101 at 1024x1024 on a GPU, of R50 at 512x512 on a CPU.
"""

import argparse
import sys
from pathlib import Path

import torch
from mmengine.config import Config

from benchmarks.device import device_name
from benchmarks.measure import DTYPES
from benchmarks.steps import measure_steps, to_markdown
from mmdet_frn.norms import NORMS, use_norm
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import one_line_errors

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/table6/retinanet_r101_fpn_bn-all_8xb2-500k_coco-1024.py'
DEFAULT = ['BN', 'GN', 'FRN fused', 'FRN reference']
LABELS = [row.label for row in NORMS if row.label != 'FRN']


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('--depth', type=int, default=101 if gpu else 50, help='of the ResNet (%(default)s)')
    add('--size', type=int, default=1024 if gpu else 512, help='of the images (%(default)s)')
    add('--images', type=int, default=2, help='images in a batch (%(default)s)')
    add('--rounds', type=int, default=20 if gpu else 5, help='steps of each (%(default)s)')
    add(
        '--norms', nargs='+', choices=[*DEFAULT[2:], *LABELS], default=DEFAULT, help='(%(default)s)'
    )
    add('--dtype', choices=list(DTYPES), default='fp32', help='half: autocast (%(default)s)')
    add('--device', default='cuda' if gpu else 'cpu', help='(%(default)s)')
    return parser.parse_args()


def make_config(name: str, depth: int, size: int) -> Config:
    """Return RetinaNet of Table 6 with the norm of a row's label, or of FRN fused or reference."""
    label = name.removesuffix(' fused').removesuffix(' reference')
    options = {'model.backbone.depth': depth, 'model.data_preprocessor.pad_size_divisor': size}
    cfg = load_config(CONFIG, options)
    cfg.merge_from_dict({'model': use_norm(label, neck_act=False)})  # the neck has no activation
    return cfg


def main() -> int:
    """Run the benchmark and print a table in Markdown."""
    args = parse_args()
    device = torch.device(args.device)
    with one_line_errors():
        configs = {name: make_config(name, args.depth, args.size) for name in args.norms}
        steps = measure_steps(
            configs, device, args.size, args.images, args.rounds, DTYPES[args.dtype]
        )
    print(f'RetinaNet R{args.depth}-FPN, {args.images} images of {args.size}x{args.size}, ', end='')
    print(f'{args.dtype}, {device_name(device)}, torch {torch.__version__}\n')
    print(to_markdown(steps))
    return 0


if __name__ == '__main__':
    sys.exit(main())
