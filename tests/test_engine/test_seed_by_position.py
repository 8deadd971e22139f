"""What an image's augmentation depends on."""

import random

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_frn.engine import SeedByPosition, StreamIndex

CONFIG = 'configs/shapes/retinanet_r18-w32_fpn_frn-all_1xb2-1k_shapes-128.py'


def draw():
    return np.random.rand()  # noqa: NPY002  what MMCV's transforms draw from


def draws(index):
    SeedByPosition()({'sample_idx': index})
    return random.random(), draw(), torch.rand(1).item()


def test_draws_follow_from_seed_and_position_alone():
    first = draws(StreamIndex(3, seed=0, position=7))
    assert draws(StreamIndex(4, seed=0, position=7)) == first


def test_the_words_are_numpys_for_seed_and_position():
    """A training of an earlier version is repeated bitwise only if none of them changes."""
    words = np.random.SeedSequence((3, 7)).generate_state(4)
    own = random.Random(words.tobytes())
    tensors = torch.Generator().manual_seed(int(words[0]))
    assert draws(StreamIndex(4, seed=3, position=7)) == (
        own.random(),
        np.random.RandomState(words).random_sample(),
        torch.rand(1, generator=tensors).item(),
    )


@pytest.mark.parametrize('of', [lambda n: (0, n), lambda n: (n, 7)], ids=['position', 'seed'])
def test_every_bit_of_the_position_and_of_the_seed_counts(of):
    numbers = [*range(70), *(2**bit + near for bit in range(7, 48) for near in (-1, 0, 1))]
    found = [draws(StreamIndex(3, *of(number))) for number in dict.fromkeys(numbers)]
    # Each of the three generators draws another number for each.
    assert [len(set(drawn)) for drawn in zip(*found, strict=True)] == [len(found)] * 3


def test_seed_and_position_are_not_mixed_up():
    assert draws(StreamIndex(3, seed=7, position=0)) != draws(StreamIndex(3, seed=0, position=7))


def test_an_image_taken_in_place_of_an_unusable_one_goes_on_with_the_draws():
    transform = SeedByPosition()
    transform({'sample_idx': StreamIndex(3, seed=0, position=7)})
    first, second = draw(), draw()
    transform({'sample_idx': StreamIndex(3, seed=0, position=7)})
    assert draw() == first
    transform({'sample_idx': 5})
    assert draw() == second


@pytest.mark.parametrize('results', [{'sample_idx': 3}, {}])
def test_an_index_without_position_passes_through_and_is_told_once(results):
    transform = SeedByPosition()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match=r"set train_dataloader\.sampler\.type='StreamSampler'"):
        assert transform(results) is results
    assert transform(results) is results  # a second warning would be an error
    assert torch.equal(torch.rand(1), expected)


def test_a_dataset_of_the_configs_can_be_looked_at(tiny_shapes, request):
    cfg = Config.fromfile(request.config.rootpath / CONFIG)
    dataset = cfg.train_dataloader.dataset
    dataset.data_root = f'{tiny_shapes}/'
    register_all_modules()
    with pytest.warns(UserWarning, match='an index without a position'):
        image = DATASETS.build(dataset)[0]
    assert image['inputs'].shape == (3, 128, 128)
