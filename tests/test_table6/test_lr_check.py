"""The formula of the learning rate, and logs that follow it or do not."""

import math

import pytest

from mmdet_frn.table6.lr_check import check_lr, formula_lr


def test_formula_at_its_corners():
    assert formula_lr(0, 0.1, 10, 100) == 0
    assert formula_lr(5, 0.1, 10, 100) == pytest.approx(0.05)
    assert formula_lr(10, 0.1, 10, 100) == 0.1
    assert formula_lr(55, 0.1, 10, 100) == pytest.approx(0.05)
    assert formula_lr(99, 0.1, 10, 100) == pytest.approx(0.05 * (1 + math.cos(math.pi * 89 / 90)))
    assert formula_lr(0, 0.1, 0, 100) == 0.1


@pytest.mark.parametrize('accumulate', [1, 8])
def test_a_log_that_follows_the_formula(make_cell, accumulate):
    check = check_lr(make_cell('FRN', 4, accumulate=accumulate))
    assert check.deviation == 0
    assert check.logged_peak == 0.05 * 4 / 8
    assert (check.records, check.ramp_records) == (80, 8)


def test_a_log_that_does_not(make_cell):
    assert check_lr(make_cell('FRN', 4, lr_factor=1.01)).deviation == pytest.approx(0.01)


def test_no_log(make_cell):
    assert check_lr(make_cell('FRN', 4, logged=0)) is None
