"""Augmentation that depends on nothing but the seed and an image's place in the stream."""

from __future__ import annotations

import random
import warnings

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from .stream_sampler import StreamIndex


@TRANSFORMS.register_module()
class SeedByPosition(BaseTransform):
    """Seed Python's, NumPy's and torch's generators for the transforms that follow.

    The first transform of a training pipeline whose sampler is
    :class:`~mmdet_frn.engine.StreamSampler`. What an image becomes is then the same after a
    resume (no checkpoint holds the generators of the loading processes), with any number of
    workers, and in one process that imitates several.
    """

    def __init__(self) -> None:
        self._told = False

    def transform(self, results: dict) -> dict:
        """Seed the generators from the sampler's seed and the position; return ``results``.

        An index without a position, such as that of ``dataset[0]``, passes through, with a warning
        the first time.
        """
        index = results.get('sample_idx')
        if isinstance(index, StreamIndex):
            words = np.random.SeedSequence((index.seed, index.position)).generate_state(4)
            np.random.seed(words)  # noqa: NPY002  what MMCV's transforms draw from
            random.seed(words.tobytes())
            # Not torch.manual_seed: the generators of GPUs are the model's.
            torch.default_generator.manual_seed(int(words[0]))
            self._told = True
        elif not self._told:
            self._told = True
            warnings.warn(
                f'SeedByPosition got sample_idx={index!r}, an index without a position, and leaves '
                f'the generators as they are; for a training that can be repeated set '
                f"train_dataloader.sampler.type='StreamSampler', with no dataset wrapper that "
                f'computes indices',
                stacklevel=2,
            )
        # A bare index after that is the image, drawn at random, that MMEngine's datasets take in
        # place of an unusable one: the draw was seeded.
        return results
