"""A search over learning rates, of equal size for every config."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.files import write_text_atomic

from .main import train
from .results import Row, read_rows
from .runs import Run
from .table import make_table, mean_and_deviation, to_text


def search(runs: Sequence[Run], jobs: int | None = None) -> dict[str, float]:
    """Train the runs that are not finished, print AP by rate, and return each config's best rate.

    Args:
        runs: Each config at each rate of the search (``Setup.base_lrs``).
        jobs: Runs at once. Default: see :func:`~mmdet_frn.experiments.runner.default_jobs`.

    Returns:
        As :func:`best_rates`.

    Raises:
        UsageError: a config has a rate without a result.
    """
    failed = train(runs, jobs)
    rows = read_rows(runs)
    print(f'\nAP by learning rate:\n\n{to_text(rows_by_rate(rows), 1)}\n', flush=True)
    if failed:
        raise UsageError(f'{failed} runs of the search have no result; run this again to resume')
    return best_rates(rows)


def best_rates(rows: Sequence[Row]) -> dict[str, float]:
    """Return the rate of the highest mean AP by name of config; none for one without a result."""
    best = make_table(rows).best.values()
    runs = (group[0].run for group in best)
    return {run.config: run.base_lr for run in runs if run.base_lr is not None}


def write_with_rates(configs: Sequence[Path], rates: dict[str, float], out: Path) -> list[Path]:
    """Write each config anew with its learning rate, as ``out/<name>.py``, and return the files."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for config in configs:
        path = out / config.name
        lines = [f'_base_ = {json.dumps(str(config.resolve()))}']
        if config.stem in rates:
            lines.append(f'optim_wrapper = dict(optimizer=dict(lr={rates[config.stem]:g}))')
        write_text_atomic(path, '\n'.join(lines) + '\n')
        paths.append(path)
    return paths


def rows_by_rate(rows: Sequence[Row]) -> list[list[str]]:
    """Return a heading of rates, then for each norm AP in percent: mean and deviation of seeds."""
    groups: dict[tuple[str, float | None], list[float]] = {}
    for row in rows:
        if row.metrics:
            groups.setdefault((row.run.norm, row.run.base_lr), []).append(row.percent('AP'))
    rates = sorted({row.run.base_lr for row in rows if row.run.base_lr is not None})
    norms = dict.fromkeys(row.run.norm for row in rows)

    def entry(norm: str, rate: float) -> str:
        return mean_and_deviation(groups.get((norm, rate), []))

    return [
        ['Norm', *(f'{rate:g}' for rate in rates)],
        *([norm, *(entry(norm, rate) for rate in rates)] for norm in norms),
    ]
