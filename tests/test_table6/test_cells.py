"""The cells of Table 6 against section 4.3 of the paper."""

import pytest

from mmdet_frn.table6.cells import Protocol, plan_table6
from mmdet_frn.table6.shrink import Scale
from mmdet_frn.utils.errors import UsageError


@pytest.fixture
def config_dir(request):
    return request.config.rootpath / 'configs' / 'table6'


@pytest.mark.parametrize('num_gpus', [8, 2, 1])
def test_every_cell_has_the_papers_numbers(config_dir, tmp_path, num_gpus):
    cells = plan_table6(config_dir, tmp_path, Protocol(num_gpus))
    assert len({cell.folder for cell in cells}) == len(cells) == 36
    for cell in cells:
        batch = 8 * cell.images_per_gpu
        scratch = 25000 if cell.method == 'BN*' else 125000
        assert cell.batch_size == batch
        assert cell.steps == scratch * 64 / batch
        assert cell.lr == pytest.approx(cell.base_lr * batch / 64)
        counts = 8 // num_gpus
        assert cell.cfg.train_cfg.max_iters == counts * cell.steps
        assert cell.cfg.optim_wrapper.get('accumulative_counts', 1) == counts
        assert cell.cfg.train_dataloader.batch_size == cell.images_per_gpu
        # The schedule counts steps of the optimizer, not iterations.
        assert cell.cfg.param_scheduler.end == cell.steps
    labels = {(c.method, c.images_per_gpu, c.base_lr) for c in cells}
    assert labels == {
        (m, n, lr)
        for m in ('BN*', 'BN', 'GN', 'FRN')
        for n in (8, 4, 2)
        for lr in (0.01, 0.05, 0.1)
    }


def test_a_choice_of_cells(config_dir, tmp_path):
    choice = dict(methods=['FRN'], images_per_gpu=[2, 4], base_lrs=[0.02])
    cells = plan_table6(config_dir, tmp_path, Protocol(scale=Scale(0.01), seed=3), **choice)
    assert [(c.method, c.images_per_gpu, c.base_lr) for c in cells] == [
        ('FRN', 2, 0.02),
        ('FRN', 4, 0.02),
    ]
    assert [cell.steps for cell in cells] == [5000, 2500]
    assert {cell.cfg.randomness.seed for cell in cells} == {3}


@pytest.mark.parametrize(
    ('choice', 'message'),
    [
        (dict(methods=['LN']), 'no config of LN with 8 images per GPU; there are .*FRN at 2'),
        (dict(images_per_gpu=[16]), r'no config of BN\* with 16 images per GPU'),
        (dict(base_lrs=[0.0]), '--base-lr must be above 0, but is 0'),
    ],
)
def test_a_choice_that_there_is_not(config_dir, tmp_path, choice, message):
    with pytest.raises(UsageError, match=message):
        plan_table6(config_dir, tmp_path, Protocol(), **choice)


@pytest.mark.parametrize('num_gpus', [0, 3, 16])
def test_gpus_that_do_not_divide_the_protocols(num_gpus):
    with pytest.raises(UsageError, match='--gpus must divide the 8'):
        Protocol(num_gpus)
