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
_PAIRS_NEEDED = 6


@dataclass
class Bootstrap:
    """AP of resampled test images for each norm and number of images per GPU.

    ``samples[norm, images_per_gpu][seeds]`` is (B + 1, T), the set itself first; the samples are
    the same images everywhere, so differences are paired. Folds are pooled, those of one seed or
    of a seed each: ``folds`` of them. ``problems`` has a line for each run that is left out.
    """

    table: Table
    count: int
    images: int = 0
    folds: int = 0
    samples: dict[tuple[str, int], dict[tuple[int, ...], np.ndarray]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def pooled_rows(self) -> list[list[str]]:
        """Return the rows of AP and AP50 over all test images, mean over seeds, with intervals."""
        rows = [['Norm', 'imgs/gpu', *_SHOWN, 'seeds']]
        for (norm, images), seeds in self.samples.items():
            if seeds:
                values = [_interval(_mean([*seeds.values()], metric)) for metric in _SHOWN]
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
        groups = self.table.best.values()
        folds = len({row.run.fold for group in groups for row in group})
        pooled = f', {self.folds} folds put together' if self.folds > 1 else ''
        pairs = min(len(group) for group in groups)
        what = 'pairs of folds and seeds' if folds > 1 else 'seed(s)'
        verdict = 'can' if pairs >= _PAIRS_NEEDED else 'cannot'
        text = (
            f'Intervals: 95%, {self.count} bootstrap samples of the {self.images} test images'
            f'{pooled}, the same for all norms; they describe these trained detectors and leave '
            f'out the scatter between seeds. Sign test: with {pairs} {what} the smallest '
            f'two-sided p is {min(1.0, 2 * 0.5**pairs):.2g}, so the sign of a difference {verdict} '
            f'be significant at 5%; that needs {_PAIRS_NEEDED}.'
        )
        if folds > 1:
            text += ' Training images of folds overlap, so this p is optimistic.'
        return text


def bootstrap(table: Table, count: int) -> Bootstrap:
    """Evaluate the best runs of a table on resampled test images.

    Args:
        table: Of finished rows.
        count: Bootstrap samples.
    """
    result = Bootstrap(table, count)
    weights: dict[int, np.ndarray] = {}
    unreadable: dict[str, list[str]] = {}
    for (norm, images_per_gpu), rows in table.best.items():
        column = [group for (_, images), group in table.best.items() if images == images_per_gpu]
        folds = set.intersection(*({row.run.fold for row in group} for group in column))
        result.folds = max(result.folds, len(folds))
        replicates, left_out = _replicates(rows, folds)
        result.problems += [
            f'{row.run.name}: not all folds are finished; left out of the intervals'
            for row in left_out
        ]
        result.samples[norm, images_per_gpu] = {}
        for key, parts in replicates.items():
            try:
                matches = pool([match(row.run.annotations, row.detections()) for row in parts])
                images = len(matches[0].objects)
                if result.images and images != result.images:
                    raise ValueError(f'evaluated on {images} images, others on {result.images}')
            except (OSError, ValueError, KeyError, IndexError, AssertionError) as error:
                unreadable.setdefault(str(error), []).append(parts[0].run.name)
                continue
            result.images = images
            if images not in weights:
                weights[images] = resample(images, count)
            samples = average_precision(matches, weights[images])
            result.samples[norm, images_per_gpu][key] = samples
    # Missing annotations are the same trouble for every run: one line.
    for reason, (first, *others) in unreadable.items():
        more = f' and {len(others)} more' if others else ''
        result.problems.append(f'{first}{more}: unreadable: {reason}')
    return result


def _replicates(
    rows: Sequence[Row], folds: set[int | None]
) -> tuple[dict[tuple[int, ...], list[Row]], list[Row]]:
    """Group rows so that each group has every fold once, and return the rows that are left.

    The folds of one seed belong together; of what is left, those of several: a protocol may give
    each fold a seed of its own. Groups go by their seeds.
    """
    by_seed: dict[int, dict[int | None, Row]] = defaultdict(dict)
    for row in rows:
        by_seed[row.run.seed][row.run.fold] = row
    groups: dict[tuple[int, ...], list[Row]] = {}
    rest = defaultdict(list)
    for seed, by_fold in sorted(by_seed.items()):
        if folds and folds <= by_fold.keys():
            groups[seed,] = [by_fold[fold] for fold in sorted(folds, key=str)]
        else:
            for fold, row in by_fold.items():
                rest[fold].append(row)
    mixed = [rest[fold] for fold in sorted(folds, key=str)]
    for parts in zip(*mixed, strict=False):
        groups[tuple(row.run.seed for row in parts)] = list(parts)
    used = {id(row) for parts in groups.values() for row in parts}
    return groups, [row for row in rows if id(row) not in used]


def _mean(samples: Sequence[np.ndarray], metric: str) -> np.ndarray:
    """Mean over seeds and thresholds in percent, (B + 1,)."""
    return 100 * np.mean([s[:, IOUS[metric]].mean(axis=1) for s in samples], axis=0)


def _interval(values: np.ndarray, sign: str = '') -> str:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f'{values[0]:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]'
