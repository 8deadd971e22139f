"""The evidence on small data: norms under one protocol, with six seeds or in five folds.

python tools/evidence.py                    generated shapes, 2 images a step, six seeds
python tools/evidence.py --data FOLDER      a COCO-format folder, five folds, 8, 4, 2 and 1 images
python tools/evidence.py CONFIGS --seeds 3  your configs in place of BN, GN and FRN

Each config first gets the best of four learning rates, by mean AP over three seeds on other shapes,
or on a part of the first fold's training images, which other folds test on. Then come the runs of
the tables. The expected duration is printed first. Run it again to resume.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from mmdet_frn.datasets import find_coco, write_folds, write_search_split, write_shapes
from mmdet_frn.experiments.main import Output, plan_comparison, show_plan, train_and_report
from mmdet_frn.experiments.plan import Setup, plan_runs
from mmdet_frn.experiments.results import read_rows
from mmdet_frn.experiments.runs import Run
from mmdet_frn.experiments.search import best_rates, search, write_with_rates
from mmdet_frn.utils.errors import one_line_errors
from mmdet_frn.utils.files import write_text_atomic

BASES = Path(__file__).resolve().parents[1] / 'configs' / '_base_'
# FRN by where tau starts and with weight standardisation, and GN with FRN's activation: what of a
# difference is the activation's, and what the means' that FRN leaves.
DETECTORS = {
    'bn': "'BN'",
    'gn': "'GN'",
    'gn-tlu': "'GN', dict(type='TLU', init=-0.5)",
    'frn-tau-0': "'FRN', dict(type='TLU', init=0.0)",
    'frn-tau-05': "'FRN', dict(type='TLU', init=-0.5)",
    'frn-tau-1': "'FRN', dict(type='TLU', init=-1.0)",
    'frn-ws': "'FRN', dict(type='TLU', init=-0.5), conv=dict(type='ConvWS')",
}
# One image is no batch: these are the detectors that can train on it.
WITHOUT_BATCH = ('gn', 'frn-tau-05', 'frn-ws')
RATES = (0.0005, 0.001, 0.002, 0.004)
# The images a step that RATES are meant for; other batch sizes scale them.
IMAGES = 2
# The search trains with other seeds than the tables. One run a rate was measured to pick noise.
FIRST_SEARCH_SEED = 100
SEARCH_SEEDS = 3
FOLDS = 5


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='*', type=Path, help='configs (default: BN, GN and FRN)')
    parser.add_argument('--data', type=Path, help='COCO-format folder (default: generated shapes)')
    parser.add_argument('--work-dir', type=Path, help='where everything goes (work_dirs/evidence)')
    parser.add_argument('--jobs', type=int, help='runs at once (one a core, 1 GB memory each)')
    parser.add_argument('--steps', type=int, help='training steps at 2 images (from the config)')
    parser.add_argument('--search-steps', type=int, help='of the search (default: --steps)')
    parser.add_argument('--search-seeds', type=int, default=SEARCH_SEEDS, help='(%(default)s)')
    parser.add_argument('--seeds', type=int, help='seeds (6 on shapes, 1 for each fold)')
    parser.add_argument('--plan', action='store_true', help='print the plan; train nothing')
    args = parser.parse_args()
    for option, seeds in (('--seeds', args.seeds), ('--search-seeds', args.search_seeds)):
        if seeds is not None and seeds < 1:
            parser.error(f'{option} must be >= 1, got {seeds}')
    return args


def write_configs(folder: Path, kind: str) -> list[Path]:
    """Write a config for each of ``DETECTORS`` on the data of ``kind``, and return them."""
    base = BASES / f'retinanet_r18-w32_fpn_{kind}.py'
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, arguments in DETECTORS.items():
        path = folder / f'retinanet_r18-w32_fpn_{name}_{kind}.py'
        lines = [f'_base_ = {str(base)!r}', 'from mmdet_frn.norms import use_norm', '']
        write_text_atomic(path, '\n'.join([*lines, f'model = use_norm({arguments})', '']))
        paths.append(path)
    return paths


def make_setups(args: argparse.Namespace, work_dir: Path) -> tuple[Setup, Setup]:
    """Return what the runs of the search share, and what those of the tables share."""
    if args.data:
        folds = write_folds(find_coco(args.data), FOLDS, work_dir / f'folds{FOLDS}')
        search_data = write_search_split(folds[0], work_dir / 'search_data').root
        final = Setup(data=args.data, folds=FOLDS, seeds=range(args.seeds or 1))
    else:
        search_data = write_shapes(work_dir / 'search_data', 300, 100, seed=1)
        data = write_shapes(work_dir / 'shapes', 300, 100)
        final = Setup(data=data, seeds=range(args.seeds or 6))
    final = replace(final, steps=args.steps)
    first = Setup(
        seeds=range(FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + args.search_seeds),
        data=search_data,
        base_lrs=RATES,
        base_batch_size=IMAGES,
        steps=args.search_steps or args.steps,
    )
    return first, final


def choose(configs: list[Path], data: Path | None) -> list[tuple[Path, int]]:
    """Return each config with each number of images a step, column by column."""
    columns = [2, 8, 4] if data else [2]
    choices = [(config, images) for images in columns for config in configs]
    names = [f'_{name}_' for name in WITHOUT_BATCH]
    alone = [config for config in configs if any(name in config.name for name in names)]
    return choices + [(config, 1) for config in alone if data]


def main() -> int:
    """Print the plan, search the learning rates, then train and report."""
    args = parse_args()
    name = f'evidence_{args.data.name}' if args.data else 'evidence'
    work_dir = args.work_dir or Path('work_dirs', name)

    def final_runs(rates: dict[str, float]) -> list[Run]:
        with_rates = write_with_rates(configs, rates, work_dir / 'configs_with_rates')
        return plan_runs(choose(with_rates, args.data), work_dir, final)

    with one_line_errors():
        configs = args.configs or write_configs(
            work_dir / 'configs', 'bccd' if args.data else 'shapes'
        )
        first, final = make_setups(args, work_dir)
        searched = plan_comparison(configs, [IMAGES], work_dir / 'search', first)
        runs = [*searched, *final_runs(best_rates(read_rows(searched)))]
        show_plan(runs, work_dir, final, repeats=5, jobs=args.jobs)
        if args.plan:
            return 0
        runs = final_runs(search(searched, args.jobs))
        return train_and_report(runs, work_dir, final, Output(f'Norms on {final.data}'), args.jobs)


if __name__ == '__main__':
    sys.exit(main())
