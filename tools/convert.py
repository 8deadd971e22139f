"""Convert a BN detector to FRN: a config and a checkpoint that MMDetection's tools take.

python tools/convert.py CONFIG CHECKPOINT --act TLU -o work_dirs/converted
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdet_frn.convert.checkpoint import Converted, convert_checkpoint
from mmdet_frn.engine.checkpoint import add_unsafe_checkpoint, set_unsafe_checkpoint
from mmdet_frn.engine.evaluate import evaluate_detector
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.data_root import add_data_root, set_data_root
from mmdet_frn.utils.errors import UsageError, one_line_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of a detector with BN, of any origin')
    parser.add_argument(
        'checkpoint', nargs='?', help="its weights (those of the config's init_cfg)"
    )
    parser.add_argument('-o', '--out', required=True, metavar='DIR', help='folder of the results')
    parser.add_argument('--norm', default='FRN', help='norm that replaces BN (%(default)s)')
    parser.add_argument(
        '--act', choices=['TLU', 'ReLU'], default='ReLU', help='TLU replaces ReLU (%(default)s)'
    )
    parser.add_argument(
        '--kappa', type=float, help='weight of the prior, 0 to inf (10 for FRN); 0 is plain FRN'
    )
    parser.add_argument(
        '--calibrate',
        type=int,
        default=0,
        metavar='N',
        help='choose kappa on N images of the test dataset, without their labels',
    )
    parser.add_argument('--evaluate', action='store_true', help='AP before and after')
    add_data_root(parser)
    add_unsafe_checkpoint(parser)
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()
    set_data_root(args)
    set_unsafe_checkpoint(args)
    with one_line_errors('run the same command again'):
        if args.calibrate and args.kappa is not None:
            raise UsageError('--calibrate chooses kappa; leave out --kappa or --calibrate')
        if args.calibrate < 0:
            raise UsageError(f'--calibrate must be >= 0, got {args.calibrate}')
        if args.evaluate and not args.checkpoint:
            raise UsageError('--evaluate needs a CHECKPOINT of the whole detector')
        cfg = load_config(args.config)
        kappa = args.kappa
        if kappa is None:
            kappa = 10.0 if args.norm == 'FRN' else 0.0
        try:
            result = convert_checkpoint(
                cfg,
                args.checkpoint,
                args.out,
                norm_cfg=_norm_cfg(args.norm),
                act_cfg={'type': 'TLU'} if args.act == 'TLU' else None,
                kappa=kappa,
                calibrate=args.calibrate,
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
        _print(result, cfg.optim_wrapper.optimizer.get('lr'))
    if args.evaluate:
        with one_line_errors('evaluate with tools/test.py: the converted files are complete'):
            _evaluate(args, result)


def _evaluate(args: argparse.Namespace, result: Converted) -> None:
    work_dir = str(Path(args.out, 'evaluation'))
    before = evaluate_detector(args.config, args.checkpoint, work_dir=work_dir)
    after = evaluate_detector(result.config, result.checkpoint, work_dir=work_dir)
    for name, value in before.items():
        print(f'{name}: {value:.3f} before, {after[name]:.3f} after')


def _norm_cfg(label: str) -> dict:
    from mmdet_frn.norms import NORMS

    row = next((row for row in NORMS if row.label == label), None)
    if row is None or row.uses_batch:
        known = ', '.join(row.label for row in NORMS if not row.uses_batch)
        raise UsageError(f'--norm must be one of {known}, got {label}')
    # BN's own eps is what the closed form takes.
    return {key: value for key, value in row.norm_cfg.items() if key != 'eps'}


def _print(result: Converted, lr: float | None) -> None:
    print(result.report)
    print(f'config {result.config}\ncheckpoint {result.checkpoint}')
    if lr:
        print(
            f'fine-tune with a tenth of the learning rate: optim_wrapper.optimizer.lr={lr / 10:g}'
        )


if __name__ == '__main__':
    main()
