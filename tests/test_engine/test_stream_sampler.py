"""The order of MMEngine's InfiniteSampler, dealt to one process as to several."""

import pickle
from itertools import islice

import pytest
from mmengine.dataset import InfiniteSampler, sampler

from mmdet_frn.engine import StreamSampler
from mmdet_frn.utils.errors import UsageError

IMAGES, STEPS = range(7), 6
skips = pytest.mark.skipif(
    not hasattr(InfiniteSampler, 'skip'),
    reason='this MMEngine resumes by reading the batches before, and asks no sampler to skip',
)


@pytest.fixture
def as_rank(monkeypatch):
    """Return a function that makes samplers believe in being a certain rank of several."""
    return lambda rank, world: monkeypatch.setattr(sampler, 'get_dist_info', lambda: (rank, world))


def with_positions(indices, number):
    return [(int(index), index.position) for index in islice(indices, number)]


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('batch_size', [1, 2, 5])
@pytest.mark.parametrize('processes', [1, 2, 3])
def test_one_process_gets_the_batches_of_all(processes, batch_size, shuffle, as_rank):
    streams, own = [], []
    for rank in range(processes):
        as_rank(rank, processes)
        streams.append(iter(InfiniteSampler(IMAGES, shuffle, seed=5)))
        own.append(iter(StreamSampler(IMAGES, shuffle, seed=5)))
    as_rank(0, 1)
    one = iter(StreamSampler(IMAGES, shuffle, 5, processes, batch_size))
    for _ in range(STEPS):
        for rank in range(processes):
            batch = with_positions(one, batch_size)
            assert [index for index, _ in batch] == list(islice(streams[rank], batch_size))
            assert with_positions(own[rank], batch_size) == batch


def test_positions_are_those_in_the_stream():
    stream = list(islice(InfiniteSampler(IMAGES, seed=5), 24))
    for index in islice(StreamSampler(IMAGES, True, 5, 3, 2), 24):
        assert stream[index.position] == index
        assert index.seed == 5


@skips
@pytest.mark.parametrize('skipped', [0, 1, 5, 6, 12, 17])
def test_skipping_changes_nothing_behind(skipped):
    expected = with_positions(StreamSampler(IMAGES, True, 5, 3, 2), 40)[skipped:]
    resumed = StreamSampler(IMAGES, True, 5, 3, 2)
    resumed.skip(skipped)
    assert with_positions(resumed, 40 - skipped) == expected


@skips
@pytest.mark.parametrize('skipped', [0, 4, 9])
def test_a_rank_skips_its_own_indices(skipped, as_rank):
    as_rank(1, 3)
    expected = with_positions(StreamSampler(IMAGES, seed=5), 20)[skipped:]
    resumed = StreamSampler(IMAGES, seed=5)
    resumed.skip(skipped)
    assert with_positions(resumed, 20 - skipped) == expected


def test_an_index_survives_the_way_to_a_worker():
    (index,) = islice(StreamSampler(IMAGES, seed=5), 1)
    copy = pickle.loads(pickle.dumps(index))
    assert (copy, copy.seed, copy.position) == (index, 5, 0)


def test_two_processes_get_the_batches_of_six(as_rank):
    streams = []
    for rank in range(6):
        as_rank(rank, 6)
        streams.append(iter(StreamSampler(IMAGES, seed=5)))
    few = []
    for rank in range(2):
        as_rank(rank, 2)
        few.append(iter(StreamSampler(IMAGES, True, 5, 3, 2)))
    for _ in range(STEPS):
        for imitated in range(6):
            batch = with_positions(few[imitated % 2], 2)
            assert batch == with_positions(streams[imitated], 2)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'micro_batches': 0}, 'micro_batches must be at least 1, but are 0'),
        ({'micro_batches': 2}, 'need batch_size, that of the dataloader, but it is None'),
        ({'micro_batches': 2, 'batch_size': 0}, 'but it is 0'),
    ],
)
def test_wrong_numbers_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        StreamSampler(IMAGES, **options)
