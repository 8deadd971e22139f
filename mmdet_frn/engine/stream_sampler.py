"""Indices that know their place in the training's stream of images, for one process or many."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from itertools import chain, count, islice

from mmengine.dataset import InfiniteSampler
from mmengine.registry import DATA_SAMPLERS

from mmdet_frn.utils.errors import UsageError


class StreamIndex(int):
    """A dataset's index, with the seed of its stream and its position among all processes' images.

    An int to everyone but :class:`~mmdet_frn.engine.SeedByPosition`: only the index travels from
    the sampler to the worker that loads the image.
    """

    seed: int
    position: int

    def __new__(cls, index: int, seed: int, position: int) -> StreamIndex:
        """Create the index."""
        self = super().__new__(cls, index)
        self.seed = seed
        self.position = position
        return self

    def __reduce__(self) -> tuple:
        """Return what pickle, on the way to a worker, creates the index from."""
        return type(self), (int(self), self.seed, self.position)


@DATA_SAMPLERS.register_module()
class StreamSampler(InfiniteSampler):
    """MMEngine's InfiniteSampler, in its order, with indices that know their position.

    InfiniteSampler deals one shuffled stream to K processes like cards: rank r gets every K-th
    index from the r-th on. With ``micro_batches=m`` each of P processes gets, for each optimizer
    step, the batches of m of the K = m * P ranks, one after the other: process p those of ranks p,
    p + P, p + 2P and so on.

    Args:
        dataset: The dataset.
        shuffle: Shuffle anew for each pass through the dataset. Default True.
        seed: Of the shuffling. Default None: a random one.
        micro_batches: Batches of this process that make an optimizer step, one for each rank that
            it imitates. Default 1.
        batch_size: The dataloader's; asked for only with more than one micro-batch. Default None.

    Raises:
        UsageError: ``micro_batches`` below 1, or above 1 without ``batch_size``.
    """

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,
        seed: int | None = None,
        micro_batches: int = 1,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(dataset, shuffle, seed)
        if micro_batches < 1:
            raise UsageError(f'micro_batches must be at least 1, but are {micro_batches}')
        if micro_batches > 1 and (batch_size is None or batch_size < 1):
            raise UsageError(
                f'micro_batches={micro_batches} need batch_size, that of the dataloader, but it '
                f'is {batch_size}'
            )
        self.micro_batches = micro_batches
        self._step = micro_batches * (batch_size or 1)
        self._skipped = 0

    def __iter__(self) -> Iterator[StreamIndex]:
        """Yield the indices without end."""
        within_step = self._skipped % self._step
        places = count(self._skipped - within_step)
        stream = (
            StreamIndex(index, self.seed, self.rank + place * self.world_size)
            for place, index in zip(places, super().__iter__(), strict=False)
        )
        steps = iter(lambda: list(islice(stream, self._step)), [])
        ranks = range(self.micro_batches)
        batches = (step[rank :: self.micro_batches] for step in steps for rank in ranks)
        return islice(chain.from_iterable(batches), within_step, None)

    def skip(self, num_samples: int) -> None:
        """Go to the place after ``num_samples`` of this process's indices, counted from the start.

        MMEngine calls it once, before the first index, when training is resumed.
        """
        # Whole steps: the order of the stream is another one within a step.
        super().skip(num_samples - num_samples % self._step)
        self._skipped = num_samples
