"""The cells of Table 6: every method, number of images per GPU and base learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from mmdet_frn.compare.cells import Cell, norm_label
from mmdet_frn.datasets import find_coco, use_coco_folder
from mmdet_frn.engine.accumulation import accumulate
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError

from .paper import BASE_LRS, IMAGES_PER_GPU, METHODS
from .schedule import BASE_BATCH_SIZE, NUM_GPUS
from .shrink import Scale
from .subset import use_subsets


@dataclass(frozen=True)
class Protocol:
    """What all cells of a work directory share.

    Args:
        num_gpus: GPUs, or processes, that train a cell. Below the paper's 8, each does the work
            of several by accumulating gradients.
        scale: 1 for the paper's protocol, less for a trial.
        seed: Seed of every cell. Default 0.
        data: COCO-format folder in the place of the configs' datasets. Default None.
        options: ``--cfg-options`` for every config. Default None.
    """

    num_gpus: int = NUM_GPUS
    scale: Scale = field(default_factory=Scale)
    seed: int = 0
    data: str | None = None
    options: dict | None = None

    def __post_init__(self) -> None:
        if self.num_gpus < 1 or NUM_GPUS % self.num_gpus:
            raise UsageError(
                f'--gpus must divide the {NUM_GPUS} of the protocol (1, 2, 4 or 8), but is '
                f'{self.num_gpus}'
            )

    @property
    def accumulate(self) -> int:
        """Iterations that each process takes for a step."""
        return NUM_GPUS // self.num_gpus


def plan_table6(
    config_dir: Path,
    work_dir: Path,
    protocol: Protocol,
    *,
    methods: Sequence[str] = METHODS,
    images_per_gpu: Sequence[int] = IMAGES_PER_GPU,
    base_lrs: Sequence[float] = BASE_LRS,
) -> list[Cell]:
    """Resolve the config of every cell.

    Args:
        config_dir: ``configs/table6``: a config for each method and number of images per GPU.
        work_dir: Folder that holds a folder for each cell.
        protocol: What they share.
        methods: Rows of the table. Default the paper's.
        images_per_gpu: Columns. Default 8, 4 and 2.
        base_lrs: Learning rates at a batch of 64 to search. Default 0.01, 0.05 and 0.1.

    Returns:
        Cells in the order in which they run: by column, row and learning rate.

    Raises:
        UsageError: a method or number of images has no config, a learning rate is not above 0.
    """
    for base_lr in base_lrs:
        if not base_lr > 0:
            raise UsageError(f'--base-lr must be above 0, but is {base_lr:g}')
    paths = _find_configs(config_dir)
    data = None if protocol.data is None else find_coco(protocol.data)
    cells = []
    for images in images_per_gpu:
        for method in methods:
            path = paths.get((method, images))
            if path is None:
                known = ', '.join(f'{m} at {n}' for m, n in paths)
                raise UsageError(
                    f'{config_dir} has no config of {method} with {images} images per GPU; '
                    f'there are {known}'
                )
            for base_lr in base_lrs:
                name = f'{path.stem}_lr{base_lr:g}_seed{protocol.seed}'
                cfg = load_config(path, protocol.options)
                if data is not None:
                    use_coco_folder(cfg, data)
                _fit(cfg, protocol, base_lr * NUM_GPUS * images / BASE_BATCH_SIZE, work_dir)
                cfg.work_dir = str(work_dir / name)
                cells.append(
                    Cell(
                        path,
                        method,
                        images,
                        protocol.num_gpus,
                        protocol.seed,
                        work_dir / name,
                        cfg,
                        accumulate=protocol.accumulate,
                        base_lr=base_lr,
                    )
                )
    return cells


def _find_configs(config_dir: Path) -> dict[tuple[str, int], Path]:
    """Return the configs of the cells by method and images per GPU."""
    found = {}
    for path in sorted(config_dir.glob('*_8xb*.py')):
        cfg = load_config(path)
        found[norm_label(cfg), cfg.train_dataloader.batch_size] = path
    return found


def _fit(cfg: Config, protocol: Protocol, lr: float, work_dir: Path) -> None:
    cfg.optim_wrapper.optimizer.lr = lr
    # The runner must not scale what is written for this batch.
    cfg.auto_scale_lr.enable = False
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=protocol.seed)
    protocol.scale.apply(cfg)
    use_subsets(cfg, protocol.scale, work_dir / 'data')
    if protocol.accumulate > 1:
        accumulate(cfg, protocol.accumulate)
