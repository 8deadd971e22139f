"""The schedule of Table 6 for batches that the paper does not have; the paper's own are checked in
test_configs_table6.py."""

import pytest

from mmdet_frn.table6 import paper_schedule


@pytest.mark.parametrize('fine_tuning', [False, True])
def test_a_quarter_of_the_batch_takes_four_times_the_steps_and_a_quarter_of_the_rate(fine_tuning):
    large = paper_schedule(4, fine_tuning=fine_tuning)
    small = paper_schedule(1, fine_tuning=fine_tuning)
    assert small.train_cfg['max_iters'] == 4 * large.train_cfg['max_iters']
    assert small.train_cfg['val_interval'] == 4 * large.train_cfg['val_interval']
    assert small.param_scheduler['ramp_up'] == 4 * large.param_scheduler['ramp_up']
    lr = large.optim_wrapper['optimizer']['lr']
    assert small.optim_wrapper['optimizer']['lr'] == pytest.approx(lr / 4)
    assert small.auto_scale_lr['base_batch_size'] == 8


def test_every_call_has_dicts_of_its_own():
    paper_schedule(8).optim_wrapper['optimizer']['lr'] = 7
    assert paper_schedule(8).optim_wrapper['optimizer']['lr'] == 0.05


@pytest.mark.parametrize('images', [0, -2])
def test_fewer_images_than_one_are_refused(images):
    with pytest.raises(ValueError, match=rf'images_per_gpu must be at least 1, but is {images}'):
        paper_schedule(images)
