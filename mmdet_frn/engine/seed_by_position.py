"""Augmentation that depends on nothing but the seed and an image's place in the stream."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from mmdet_frn.utils.errors import UsageError

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
        self._seeded = False

    def transform(self, results: dict) -> dict:
        """Seed the generators from the sampler's seed and the position; return ``results``.

        Raises:
            UsageError: the index has no position.
        """
        index = results.get('sample_idx')
        if isinstance(index, StreamIndex):
            words = np.random.SeedSequence((index.seed, index.position)).generate_state(4)
            np.random.seed(words)  # noqa: NPY002  what MMCV's transforms draw from
            random.seed(words.tobytes())
            # Not torch.manual_seed: the generators of GPUs are the model's.
            torch.default_generator.manual_seed(int(words[0]))
            self._seeded = True
        elif not self._seeded:
            raise UsageError(
                f'SeedByPosition needs an index with a position, but got sample_idx={index!r}; set '
                f"train_dataloader.sampler.type='StreamSampler', with no dataset wrapper that "
                f'computes indices, or leave this transform out'
            )
        # A bare index after that is the image, drawn at random, that MMEngine's datasets take in
        # place of an unusable one: the draw was seeded.
        return results
