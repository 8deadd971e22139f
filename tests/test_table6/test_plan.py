"""What a plan says, in numbers."""

import pytest

from mmdet_frn.table6.plan import cost, plan_text
from mmdet_frn.table6.step_time import StepTimes


@pytest.fixture
def times():
    return StepTimes(
        'some GPU', '2.11', 1.0, 5, {'FRN, 4 images/GPU': 4}, {'FRN, 4 images/GPU': 0.9}
    )


def test_cost_is_that_of_eight_gpus_however_many_there_are(make_cell, times):
    one, eight = (make_cell('FRN', 4, lr, logged=0, accumulate=a) for lr, a in ((0.1, 8), (0.2, 1)))
    assert cost(one, times).gpu_hours == pytest.approx(0.9 * 80 * 8 / 3600)
    assert cost(eight, times).gpu_hours == pytest.approx(0.9 * 80 * 8 / 3600)
    assert cost(one, times).days == pytest.approx(8 * 0.9 * 80 / 86400)
    assert cost(eight, times).days == pytest.approx(0.9 * 80 / 86400)


def test_only_what_is_left_costs(make_cell, times):
    assert cost(make_cell('FRN', 4, logged=20), times).gpu_hours == pytest.approx(0.9 * 60 / 450)
    assert cost(make_cell('FRN', 4, 0.1, ap=0.3), times).gpu_hours == 0


def test_text_numbers_the_cells_and_names_its_basis(make_cell, times):
    cells = [make_cell('FRN', 4, logged=0), make_cell('GN', 4, logged=0)]
    text = plan_text(cells, times, price=2.5)
    frn, gn = text.splitlines()[2:4]
    # 80 steps of 32 images; 118287 images in COCO train2017.
    assert frn.split() == [
        '1',
        'FRN',
        '4',
        '0.05',
        '0.025',
        '80',
        '2560',
        '0.0',
        '0.16',
        '0.006667',
    ]
    assert gn.split()[-2:] == ['?', '?']
    assert '0.40 at 2.5 a GPU-hour; 1 cells not measured' in text
    assert 'some GPU with torch 2.11' in text
    assert 'batches of 4 random images' in text


def test_without_a_measurement_there_is_no_estimate(make_cell):
    text = plan_text([make_cell('FRN', 4, logged=0)], None, price=2.5)
    assert '--measure' in text
    assert 'at 2.5' not in text
    assert text.splitlines()[2].endswith('?')
