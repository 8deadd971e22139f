"""Training twice, with other numbers of workers or an interruption, gives the same bits."""

import pytest
import torch

STEPS = 12


@pytest.mark.slow
@pytest.mark.parametrize('norm', ['frn', 'gn', 'bn'])
def test_repeated_and_resumed_runs_are_bitwise_equal(norm, tiny_cfg, train, weights):
    first = train(tiny_cfg(norm, STEPS), 'first')
    expected = weights(first, STEPS)
    before = weights(first, STEPS // 2)
    assert not all(torch.equal(before[key], value) for key, value in expected.items())

    loaded_by_workers = {'train_dataloader.num_workers': 2}
    again = train(tiny_cfg(norm, STEPS, **loaded_by_workers), 'again', new=True)
    # What a run that was killed after its first checkpoint leaves.
    checkpoint = first / f'iter_{STEPS // 2}.pth'
    resumed = train(tiny_cfg(norm, STEPS), 'resumed', '--resume', checkpoint)
    for other in (again, resumed):
        found = weights(other, STEPS)
        assert found.keys() == expected.keys()
        assert [key for key in expected if not torch.equal(found[key], expected[key])] == []
