"""Checks of the datasets that a config names, before training starts; each error is one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset

from mmdet_frn.utils.data_root import ENV, data_root

from .check import check_coco
from .coco_file import DatasetError


def check_cfg(cfg: Config, splits: Sequence[str] = ('train', 'val', 'test')) -> None:
    """Check the COCO-format datasets of a config, their classes and its box heads.

    For each split whose dataloader is set: every CocoDataset in ``{split}_dataloader.dataset``,
    through wrappers such as RepeatDataset and ConcatDataset, goes through
    :func:`~mmdet_frn.datasets.check_coco` with the paths and the classes that MMDetection would
    use; the ``num_classes`` of each ``bbox_head`` in ``model`` must be the number of classes, all
    splits must have the same classes, and the annotation file of each CocoMetric in
    ``{split}_evaluator`` must be usable. Datasets of other types, and those on a backend other
    than local files, are passed over.

    Args:
        cfg: A detector's config.
        splits: The splits to check. Default all three.

    Raises:
        DatasetError: a dataset is unusable, there is nothing to train on, or the classes do not
            fit.
    """
    boxes: dict[tuple, int] = {}

    def check_once(where: str, ann_file: str, **others: Any) -> int:
        """Return the number of boxes."""
        asked = (ann_file, *others.items())
        if asked not in boxes:
            try:
                boxes[asked] = check_coco(ann_file, **others).boxes
            except DatasetError as error:
                raise DatasetError(f'{where}: {error}{_data_root_hint(ann_file)}') from None
        return boxes[asked]

    first_classes = None
    for split in splits:
        metrics = list(_coco_metrics(cfg.get(f'{split}_evaluator')))
        # Nothing is measured on COCO's test sets: their files have no annotations.
        formats_only = bool(metrics) and all(metric.get('format_only') for metric in metrics)
        classes = None
        given = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
        annotated: dict[str, int] = {}
        for dataset, use_exif in _coco_datasets(given):
            classes = dataset.metainfo['classes']
            if 'img' not in dataset.data_prefix:
                raise DatasetError(
                    f'{split}_dataloader: data_prefix is {dataset.data_prefix}; name the image '
                    f"folder under 'img'"
                )
            annotated[dataset.ann_file] = check_once(
                f'{split}_dataloader',
                dataset.ann_file,
                img_dir=dataset.data_prefix['img'],
                classes=classes if isinstance(classes, str) else tuple(classes),
                purpose='predict' if formats_only else 'train',
                use_exif=use_exif,
            )
            first_classes = first_classes or (split, tuple(classes))
            _check_same_classes(first_classes, (split, tuple(classes)))
            _check_num_classes(cfg.get('model'), split, tuple(classes))
        if split == 'train' and annotated and not any(annotated.values()):
            raise DatasetError(
                f'train_dataloader: annotation file {next(iter(annotated))} has no boxes of the '
                f'classes to train on; name the file of the annotated set'
            )
        for metric in metrics:
            check_once(
                f'{split}_evaluator',
                metric['ann_file'],
                img_dir=None,
                classes=classes and tuple(classes),
                purpose='predict' if metric.get('format_only') else 'eval',
            )


def _data_root_hint(ann_file: str) -> str:
    """Return the setting to mend, for a missing file below the folder that it names."""
    root = data_root()
    if Path(ann_file).exists() or root not in Path(ann_file).parents:
        return ''
    state = '' if root.is_dir() else ', which does not exist'
    return f', or name the folder of the datasets with --data-root or {ENV} (now {root}{state})'


def _coco_datasets(node: Any) -> Iterator[tuple[BaseDataset, bool]]:
    """Yield the local CocoDatasets in a dataset's config, built without reading their files.

    With each, whether its pipeline turns images as their EXIF orientation says.
    """
    # Not at the top: it takes seconds, and check_coco does without.
    from mmdet.datasets import CocoDataset
    from mmdet.registry import DATASETS

    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _coco_datasets(item)
    elif isinstance(node, Mapping):
        for key in ('dataset', 'datasets'):
            yield from _coco_datasets(node.get(key))
        kind = node.get('type')
        cls: Any = DATASETS.get(kind) if isinstance(kind, str) else kind
        # A subclass that reads its own kind of file is not ours to check.
        if (
            isinstance(cls, type)
            and issubclass(cls, CocoDataset)
            and all(
                getattr(cls, n) is getattr(CocoDataset, n) for n in ('load_data_list', 'COCOAPI')
            )
            and _is_local(node)
        ):
            colors = [step.get('color_type') for step in node.get('pipeline') or []]
            use_exif = not any('ignore_orientation' in str(color) for color in colors)
            yield DATASETS.build({**node, 'lazy_init': True, 'pipeline': []}), use_exif


def _coco_metrics(node: Any) -> Iterator[Mapping]:
    """Yield the CocoMetrics of an evaluator's config that name a local annotation file."""
    for metric in node if isinstance(node, (list, tuple)) else [node]:
        if not isinstance(metric, Mapping):
            continue
        name = getattr(metric.get('type'), '__name__', metric.get('type'))
        if (
            str(name).rsplit('.', 1)[-1] == 'CocoMetric'
            and metric.get('ann_file')
            and _is_local(metric)
        ):
            yield metric


def _is_local(node: Mapping) -> bool:
    """Whether a dataset's or a metric's files are on a local disk."""
    backend = (node.get('backend_args') or {}).get('backend', 'local')
    paths = (node.get('data_root'), node.get('ann_file'))
    return backend == 'local' and not any('://' in str(path) for path in paths)


def _check_same_classes(
    first: tuple[str, tuple[str, ...]], other: tuple[str, tuple[str, ...]]
) -> None:
    (first_split, first_classes), (split, classes) = first, other
    if classes != first_classes:
        raise DatasetError(
            f'{split}_dataloader has {len(classes)} classes {_brief(classes)} but '
            f'{first_split}_dataloader has {len(first_classes)} classes {_brief(first_classes)}; '
            f'give both the same metainfo=dict(classes=...)'
        )


def _check_num_classes(model: Any, split: str, classes: tuple[str, ...]) -> None:
    for path, num_classes in _box_heads(model, 'model'):
        if num_classes != len(classes):
            raise DatasetError(
                f'{path}.num_classes is {num_classes} but {split}_dataloader has {len(classes)} '
                f'classes {_brief(classes)}; set {path}.num_classes={len(classes)}'
            )


def _box_heads(node: Any, path: str, key: str = '') -> Iterator[tuple[str, int]]:
    """Yield the path and ``num_classes`` of each ``bbox_head`` under a model's config."""
    if isinstance(node, (list, tuple)):
        for index, item in enumerate(node):
            yield from _box_heads(item, f'{path}[{index}]', key)
    elif isinstance(node, Mapping):
        if key == 'bbox_head' and 'num_classes' in node:
            yield path, node['num_classes']
        for name, item in node.items():
            yield from _box_heads(item, f'{path}.{name}', name)


def _brief(classes: tuple[str, ...]) -> str:
    return '(' + ', '.join(classes[:3]) + (', ...)' if len(classes) > 3 else ')')
