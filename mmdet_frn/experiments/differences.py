"""AP with bootstrap intervals, and paired differences between norms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import binomtest

from .bootstrap import IOUS, average_precision, match, pool, resample
from .results import Row
from .table import Table

_BASELINES = ('BN', 'GN')
_SHOWN = ('AP', 'AP50')
# Two-sided sign test: 2 * 0.5**6 is the first below 5%.
_SEEDS_NEEDED = 6


@dataclass
class Bootstrap:
    """AP of resampled test images for each norm and number of images per GPU.

    ``samples[norm, images_per_gpu][seed]`` is (B + 1, T), the set itself first; the samples are the
    same images everywhere, so differences are paired. Folds of a seed are pooled. ``problems`` has
    a line for each seed that could not be evaluated.
    """

    table: Table
    count: int
    images: int = 0
    samples: dict[tuple[str, int], dict[int, np.ndarray]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def pooled_rows(self) -> list[list[str]]:
        """Return the rows of AP and AP50 over all test images, mean over seeds, with intervals."""
        rows = [['Norm', 'imgs/gpu', *_SHOWN, 'seeds']]
        for (norm, images), seeds in self.samples.items():
            if seeds:
                values = [_interval(_mean(seeds.values(), metric)) for metric in _SHOWN]
                rows.append([norm, str(images), *values, str(len(seeds))])
        return rows

    def difference_rows(self) -> list[list[str]]:
        """Return the rows of each norm minus each baseline, in points, with intervals."""
        heading = ['Difference', 'imgs/gpu', *_SHOWN, 'AP higher in', 'p (sign test)']
        rows = [heading]
        present = [norm for norm in _BASELINES if norm in self.table.norms]
        baselines = present or self.table.norms[:1]
        for images in self.table.images_per_gpu:
            for i, norm in enumerate(self.table.norms):
                for other in baselines:
                    # Each pair of baselines once.
                    if norm == other or (norm in baselines and i < self.table.norms.index(other)):
                        continue
                    row = self._difference(norm, other, images)
                    rows += [[f'{norm} - {other}', str(images), *row]] if row else []
        return rows

    def _difference(self, norm: str, other: str, images: int) -> list[str] | None:
        ours, theirs = (self.samples.get((n, images), {}) for n in (norm, other))
        common = sorted(ours.keys() & theirs.keys())
        if not common:
            return None
        values = [
            _interval(
                _mean([ours[s] for s in common], m) - _mean([theirs[s] for s in common], m), '+'
            )
            for m in _SHOWN
        ]
        pairs = [
            {(r.run.seed, r.run.fold): r.percent('AP') for r in self.table.best[n, images]}
            for n in (norm, other)
        ]
        differences = [pairs[0][key] - pairs[1][key] for key in pairs[0].keys() & pairs[1].keys()]
        higher, unequal = sum(d > 0 for d in differences), sum(d != 0 for d in differences)
        p = binomtest(higher, unequal).pvalue if unequal else 1.0
        return [*values, f'{higher} of {len(differences)}', f'{p:.2g}']

    def note(self) -> str:
        """Say what the intervals and the sign test can show."""
        rows = [row for group in self.table.best.values() for row in group]
        seeds = min(len({row.run.seed for row in group}) for group in self.table.best.values())
        folds = len({row.run.fold for row in rows})
        pooled = f', {folds} folds put together' if folds > 1 else ''
        smallest = 2 * 0.5**seeds
        verdict = 'can' if seeds >= _SEEDS_NEEDED else 'cannot'
        text = (
            f'Intervals: 95%, {self.count} bootstrap samples of the {self.images} test images'
            f'{pooled}, the same for all norms; they describe these trained detectors and leave '
            f'out the scatter between seeds. Sign test: with {seeds} seed(s) the smallest '
            f'two-sided p is {min(1.0, smallest):.2g}, so the sign of a difference {verdict} be '
            f'significant at 5%; that needs {_SEEDS_NEEDED}.'
        )
        if folds > 1:
            text += ' The p above counts folds as pairs, whose training images overlap.'
        return text


def bootstrap(table: Table, count: int) -> Bootstrap:
    """Evaluate the best runs of a table on resampled test images.

    Args:
        table: Of finished rows.
        count: Bootstrap samples.
    """
    result = Bootstrap(table, count)
    weights: dict[int, np.ndarray] = {}
    for key, rows in table.best.items():
        seeds: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            seeds[row.run.seed].append(row)
        complete = max(map(len, seeds.values()))
        result.samples[key] = {}
        for seed, folds in seeds.items():
            if len(folds) < complete:
                result.problems.append(
                    f'{folds[0].run.name}: not all folds are finished; left out of the intervals'
                )
                continue
            try:
                matches = pool([match(row.run.annotations, row.detections()) for row in folds])
                images = len(matches[0].objects)
                if result.images and images != result.images:
                    raise ValueError(f'evaluated on {images} images, others on {result.images}')
            except (OSError, ValueError, KeyError, IndexError, AssertionError) as error:
                result.problems.append(f'{folds[0].run.name}: unreadable: {error}')
                continue
            result.images = images
            if images not in weights:
                weights[images] = resample(images, count)
            result.samples[key][seed] = average_precision(matches, weights[images])
    return result


def _mean(samples: Sequence[np.ndarray], metric: str) -> np.ndarray:
    """Mean over seeds and thresholds in percent, (B + 1,)."""
    return 100 * np.mean([s[:, IOUS[metric]].mean(axis=1) for s in samples], axis=0)


def _interval(values: np.ndarray, sign: str = '') -> str:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f'{values[0]:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]'
