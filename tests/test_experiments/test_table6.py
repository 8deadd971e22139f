"""The runs of Table 6 against section 4.3 of the paper."""

import pytest

from mmdet_frn.experiments.smoke import Scale
from mmdet_frn.experiments.table6 import plan_table6, table6_setup
from mmdet_frn.utils.errors import UsageError


@pytest.fixture
def config_dir(request):
    return request.config.rootpath / 'configs' / 'table6'


@pytest.mark.parametrize('num_gpus', [8, 2, 1])
def test_every_run_has_the_papers_numbers(config_dir, tmp_path, num_gpus):
    runs = plan_table6(config_dir, tmp_path, table6_setup(num_gpus=num_gpus))
    assert len({run.folder for run in runs}) == len(runs) == 36
    for run in runs:
        batch = 8 * run.images_per_gpu
        scratch = 25000 if run.norm == 'BN*' else 125000
        assert run.batch_size == batch
        assert run.steps == scratch * 64 / batch
        assert run.lr == pytest.approx(run.base_lr * batch / 64)
        counts = 8 // num_gpus
        assert run.cfg.train_cfg.max_iters == counts * run.steps
        assert run.cfg.optim_wrapper.get('accumulative_counts', 1) == counts
        assert run.cfg.train_dataloader.batch_size == run.images_per_gpu
        # The schedule counts steps of the optimizer, not iterations.
        assert run.cfg.param_scheduler.end == run.steps
    labels = {(r.norm, r.images_per_gpu, r.base_lr) for r in runs}
    assert labels == {
        (m, n, lr)
        for m in ('BN*', 'BN', 'GN', 'FRN')
        for n in (8, 4, 2)
        for lr in (0.01, 0.05, 0.1)
    }


def test_a_choice_of_runs(config_dir, tmp_path):
    choice = dict(norms=['FRN'], images_per_gpu=[2, 4])
    setup = table6_setup(scale=Scale(0.01), seeds=[3], base_lrs=[0.02])
    runs = plan_table6(config_dir, tmp_path, setup, **choice)
    assert [(r.norm, r.images_per_gpu, r.base_lr) for r in runs] == [
        ('FRN', 2, 0.02),
        ('FRN', 4, 0.02),
    ]
    assert [run.steps for run in runs] == [5000, 2500]
    assert {run.cfg.randomness.seed for run in runs} == {3}


@pytest.mark.parametrize(
    ('shared', 'choice', 'message'),
    [
        ({}, dict(norms=['LN']), 'no config of LN with 8 images per GPU; there are .*FRN at 2'),
        ({}, dict(images_per_gpu=[16]), r'no config of BN\* with 16 images per GPU'),
        (dict(base_lrs=[0.0]), {}, '--base-lr must be > 0, got 0'),
    ],
)
def test_a_choice_that_there_is_not(config_dir, tmp_path, shared, choice, message):
    with pytest.raises(UsageError, match=message):
        plan_table6(config_dir, tmp_path, table6_setup(**shared), **choice)


@pytest.mark.parametrize('num_gpus', [0, 3, 16])
def test_gpus_that_do_not_divide_the_protocols(num_gpus):
    with pytest.raises(UsageError, match='--gpus must divide the 8'):
        table6_setup(num_gpus=num_gpus)
