"""Results of runs: written by the training process, read once into rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmdet_frn.utils.files import write_text_atomic

from .runs import Run

RESULT = 'result.json'
# CocoMetric adds .bbox.json: COCO's results format.
PREDICTIONS = 'predictions'
_FAILURE = 'failure.txt'
# The paper's three columns and the keys of CocoMetric.
METRICS = {'AP': 'coco/bbox_mAP', 'AP50': 'coco/bbox_mAP_50', 'AP75': 'coco/bbox_mAP_75'}


@dataclass
class Row:
    """A run with what it gave so far; every table and picture is made from rows.

    ``metrics`` are CocoMetric's, 0 to 1, None without a result; ``problem`` says why there is none.
    ``train`` and ``val`` have the logged scalars by iteration.
    """

    run: Run
    metrics: dict[str, float] | None = None
    problem: str | None = None
    peak_memory: dict | None = None
    train: dict[int, dict] = field(default_factory=dict)
    val: dict[int, dict] = field(default_factory=dict)

    def percent(self, metric: str) -> float:
        """Return AP, AP50 or AP75 in percent."""
        if self.metrics is None:
            raise ValueError(f'{self.run.name} has no result')
        return 100 * self.metrics[METRICS[metric]]

    @property
    def step(self) -> int:
        """Last step of the optimizer that was logged."""
        return min(max(self.train, default=0) // self.run.accumulate, self.run.steps)

    @property
    def seconds(self) -> float:
        """About how long the logged iterations took, without evaluation and repeated ones."""
        # A record has the mean time of the last iterations, taken for all since the record before.
        steps = sorted(self.train)
        return sum(
            self.train[step].get('time', 0) * (step - before)
            for before, step in zip([0, *steps], steps, strict=False)
        )

    @property
    def peak_lr(self) -> float | None:
        """Highest learning rate logged."""
        return max((r['lr'] for r in self.train.values() if 'lr' in r), default=None)

    def detections(self) -> list[dict]:
        """Return the detections of the evaluation in COCO's results format.

        Raises:
            ValueError: the file is missing or damaged.
        """
        path = self.run.folder / f'{PREDICTIONS}.bbox.json'
        try:
            found = json.loads(path.read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            raise ValueError(f'{path.name}: {error}') from None
        keys = {'image_id', 'bbox', 'score', 'category_id'}
        if not isinstance(found, list) or not all(
            isinstance(d, dict) and keys <= d.keys() for d in found
        ):
            raise ValueError(f'{path.name}: not a list of detections')
        return found


def read_rows(runs: Sequence[Run]) -> list[Row]:
    """Read the results and logs of all runs; a damaged file makes its run a row with a problem."""
    return [_read_row(run) for run in runs]


def _read_row(run: Run) -> Row:
    row = Row(run)
    row.train, row.val = read_scalars(run.folder)
    try:
        result = read_result(run.folder)
    except ValueError as error:
        row.problem = f'unreadable: {error}'
        return row
    if result is not None:
        row.metrics, row.peak_memory = result['metrics'], result.get('peak_memory')
    elif (failure := read_failure(run.folder)) is not None:
        row.problem = f'failed: {failure}'
    elif row.step:
        row.problem = f'stopped at step {row.step} of {run.steps}'
    else:
        row.problem = 'not started'
    return row


def write_result(
    folder: Path, metrics: dict[str, float], checkpoint: Path | None, facts: dict | None = None
) -> None:
    """Keep the evaluation of ``checkpoint`` as the result of the run in ``folder``.

    Args:
        folder: The run's folder.
        metrics: CocoMetric's.
        checkpoint: What was evaluated; None where the config keeps no checkpoint.
        facts: More to keep, such as the memory used. Default None.
    """
    # CocoMetric returns nothing at all where nothing was detected.
    metrics = dict.fromkeys(METRICS.values(), 0.0) | metrics
    result = {'metrics': metrics, 'checkpoint': checkpoint and checkpoint.name, **(facts or {})}
    write_text_atomic(folder / RESULT, json.dumps(result, indent=2) + '\n')


def read_result(folder: Path) -> dict | None:
    """Return the result in ``folder``, None while there is none.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        result = json.loads((folder / RESULT).read_text(encoding='utf-8'))
        metrics = result['metrics']
        if not all(isinstance(metrics[key], (int, float)) for key in METRICS.values()):
            raise TypeError('a metric is not a number')
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{RESULT}: {type(error).__name__}: {error}') from None
    return result


def is_finished(run: Run) -> bool:
    """Whether the run has a result that can be read; one that cannot is made again."""
    try:
        return read_result(run.folder) is not None
    except ValueError:
        return False


def write_failure(folder: Path, reason: str | None) -> None:
    """Keep why the run in ``folder`` failed; None forgets it."""
    if reason is None:
        (folder / _FAILURE).unlink(missing_ok=True)
    else:
        write_text_atomic(folder / _FAILURE, reason + '\n')


def read_failure(folder: Path) -> str | None:
    """Return why the run in ``folder`` failed, None if it did not."""
    try:
        return (folder / _FAILURE).read_text(encoding='utf-8', errors='replace').strip()
    except OSError:
        return None


def read_scalars(folder: Path) -> tuple[dict[int, dict], dict[int, dict]]:
    """Return the scalars of training and of validation that are logged in ``folder``, by iteration.

    A resumed run repeats the iterations since its checkpoint; the later record counts. Lines that
    are no record are left out: the last one of a killed run is cut short.
    """
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for path in log_files(folder):
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            record = parse_record(line)
            if record is not None:
                (train if 'loss' in record else val)[record['step']] = record
    return dict(sorted(train.items())), dict(sorted(val.items()))


def log_files(folder: Path) -> list[Path]:
    """Return the logs of all sessions of a run, oldest first."""
    return sorted(folder.glob('*/vis_data/scalars.json'))


def parse_record(line: str) -> dict | None:
    """Return a logged record, None for a line that is not one."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_record = isinstance(record, dict) and isinstance(record.get('step'), int)
    return record if is_record else None
