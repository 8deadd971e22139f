"""What each norm of the table costs beside BN+ReLU: the columns of docs/norms.md.

python -m benchmarks.costs    prints kept maps, and times where a report of benchmarks.ops has them
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean

import torch
from torch import Tensor

from benchmarks.contenders import BATCH_NORM, NormAct, contender_name
from benchmarks.rows import TRAINING, read_csv
from mmdet_frn.norms import NORMS, Norm

RESULTS = Path(__file__).resolve().parents[1] / 'docs' / 'results'
# The report over the whole table where there is one, else the one over the defaults.
FOLDERS = ('norms', 'ops')
UNKNOWN = '–'


def kept_maps(row: Norm, shape: tuple[int, ...] = (2, 64, 32, 32)) -> float:
    """Return the memory that act(norm(x)) of fp32 x keeps for its backward pass: see below."""
    x = torch.randn(shape, requires_grad=True)
    return kept_by(NormAct(row, x).train(), x)


def kept_by(function: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Return the memory that ``function(x)`` keeps for its backward pass, in tensors like x.

    x itself counts where it is kept: it is a convolution's output, which nothing else needs.
    """
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        out = function(x * 1)
    del out
    return sum(kept.values()) / x.nbytes


def times_batch_norm(row: Norm) -> float | None:
    """Return the time of a training step of the layer over BN+ReLU's; None if not measured.

    The geometric mean over the maps of the detector, fp32 in NCHW, of the newest report on a CPU.
    """
    for folder in FOLDERS:
        reports = sorted((RESULTS / folder).glob('ops-*.csv'))
        for report in reports:
            times = {
                (r.contender, r.map): r.median_us
                for r in read_csv(report)
                if (r.dtype, r.layout, r.mode) == ('fp32', 'NCHW', TRAINING)
                and r.median_us is not None
                and r.calls
            }
            name = contender_name(row)
            ratios = [
                time / times[BATCH_NORM, where]
                for (contender, where), time in times.items()
                if contender == name and (BATCH_NORM, where) in times
            ]
            if ratios:
                return geometric_mean(ratios)
    return None


def columns(row: Norm) -> tuple[str, str]:
    """Return the cells of a row: kept maps, and time against BN+ReLU."""
    time = times_batch_norm(row)
    return f'{kept_maps(row):.1f}', UNKNOWN if time is None else f'{time:.2f}'


if __name__ == '__main__':
    for each in NORMS:
        print(f'| {each.label} | {" | ".join(columns(each))} |')
