"""Measure a conversion: AP over kappa without training, and after short fine-tunings.

    python tools/convert_study.py CONFIG CHECKPOINT --work-dir work_dirs/study

Each figure is a line of results.jsonl in the work directory; run again to fill in what is missing.
Ends with a table of the means over seeds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mmdet_frn.convert.study import KAPPAS, WAYS, Way, evaluate, fine_tune, prepare
from mmdet_frn.datasets import check_cfg
from mmdet_frn.engine.checkpoint import (
    add_unsafe_checkpoint,
    read_checkpoint,
    set_unsafe_checkpoint,
)
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.data_root import add_data_root, set_data_root
from mmdet_frn.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of a BN detector, with an absolute learning rate')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/convert_study'))
    parser.add_argument('--steps', type=int, default=200, help='of a fine-tuning (%(default)s)')
    parser.add_argument('--lr', type=float, default=1e-4, help='at 2 images (%(default)s)')
    parser.add_argument('--images', type=int, nargs='+', default=[2, 1], help='images a step')
    parser.add_argument('--seeds', type=int, nargs='*', default=[0, 1, 2])
    parser.add_argument('--ways', nargs='+', default=list(WAYS), choices=list(WAYS))
    parser.add_argument('--no-kappas', action='store_true', help='only fine-tune')
    add_data_root(parser)
    add_unsafe_checkpoint(parser)
    return parser.parse_args()


def main() -> None:
    """Measure what results.jsonl does not hold yet."""
    args = parse_args()
    set_data_root(args)
    set_unsafe_checkpoint(args)
    results = args.work_dir / 'results.jsonl'
    with one_line_errors():
        cfg = load_config(args.config)
        read_checkpoint(args.checkpoint, 'meta')
        check_cfg(cfg, splits=('train', 'test'))
        args.work_dir.mkdir(parents=True, exist_ok=True)
        for key, way, tuning in _cells(args):
            done = results.read_text(encoding='utf-8') if results.exists() else ''
            if any(json.loads(line)['key'] == key for line in done.splitlines()):
                continue
            folder = args.work_dir / key.replace(' ', '_').replace(',', '')
            start = prepare(cfg, args.checkpoint, way, folder)
            if tuning:
                images, seed = tuning
                ap = fine_tune(start, way, images, seed, args.steps, args.lr, folder)
            else:
                ap = evaluate(start, folder)
            with results.open('a', encoding='utf-8') as file:
                file.write(json.dumps({'key': key, 'ap': round(ap, 1)}) + '\n')
            print(f'{key}: AP {ap:.1f}', flush=True)
    print(_table(results))


def _table(results: Path) -> str:
    """Mean over seeds of every figure in results.jsonl, with the seeds behind it."""
    rows: dict[str, list[float]] = {}
    for line in results.read_text(encoding='utf-8').splitlines():
        found = json.loads(line)
        rows.setdefault(found['key'].partition(', seed')[0], []).append(found['ap'])
    return '\n'.join(
        f'| {key} | {sum(aps) / len(aps):.1f} | {" ".join(f"{ap:.1f}" for ap in aps)} |'
        for key, aps in rows.items()
    )


def _cells(args: argparse.Namespace) -> list[tuple[str, Way, tuple[int, int] | None]]:
    cells = []
    if not args.no_kappas:
        cells += [(f'no training, {name}', WAYS[name], None) for name in args.ways]
        cells += [(f'no training, kappa {k:g}', Way('FRN', k), None) for k in KAPPAS]
    for seed in args.seeds:
        for images in args.images:
            for name in args.ways:
                key = f'{name}, {images} images, {args.steps} steps, seed {seed}'
                cells.append((key, WAYS[name], (images, seed)))
    return cells


if __name__ == '__main__':
    main()
