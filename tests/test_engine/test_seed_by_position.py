"""What an image's augmentation depends on."""

import random

import numpy as np
import pytest
import torch

from mmdet_frn.engine import SeedByPosition, StreamIndex
from mmdet_frn.utils.errors import UsageError


def draw():
    return np.random.rand()  # noqa: NPY002  what MMCV's transforms draw from


def draws(index):
    SeedByPosition()({'sample_idx': index})
    return random.random(), draw(), torch.rand(1).item()


def test_draws_follow_from_seed_and_position_alone():
    first = draws(StreamIndex(3, seed=0, position=7))
    assert draws(StreamIndex(4, seed=0, position=7)) == first
    others = [(0, 8), (1, 7), (7, 0), (2**32, 7)]
    for other in (draws(StreamIndex(3, *seed_and_position)) for seed_and_position in others):
        assert all(a != b for a, b in zip(first, other, strict=True))


def test_an_image_taken_in_place_of_an_unusable_one_goes_on_with_the_draws():
    transform = SeedByPosition()
    transform({'sample_idx': StreamIndex(3, seed=0, position=7)})
    first, second = draw(), draw()
    transform({'sample_idx': StreamIndex(3, seed=0, position=7)})
    assert draw() == first
    transform({'sample_idx': 5})
    assert draw() == second


@pytest.mark.parametrize('results', [{'sample_idx': 3}, {}])
def test_an_index_without_position_is_refused(results):
    with pytest.raises(UsageError, match=r"set train_dataloader\.sampler\.type='StreamSampler'"):
        SeedByPosition()(results)
