"""What a plan says, in numbers."""

import pytest

from mmdet_frn.experiments.cost import StepTimes, cost, plan_text


@pytest.fixture
def times():
    return StepTimes(
        'some GPU', '2.11', 1.0, 5, {'FRN, 4 images/GPU': 4}, {'FRN, 4 images/GPU': 0.9}
    )


def test_cost_is_that_of_eight_gpus_however_many_there_are(make_row, times):
    one, eight = (make_row('FRN', 4, lr, logged=0, accumulate=a) for lr, a in ((0.1, 8), (0.2, 1)))
    assert cost(one, times).gpu_hours == pytest.approx(0.9 * 80 * 8 / 3600)
    assert cost(eight, times).gpu_hours == pytest.approx(0.9 * 80 * 8 / 3600)
    assert cost(one, times).days == pytest.approx(8 * 0.9 * 80 / 86400)
    assert cost(eight, times).days == pytest.approx(0.9 * 80 / 86400)


def test_only_what_is_left_costs(make_row, times):
    assert cost(make_row('FRN', 4, logged=20), times).gpu_hours == pytest.approx(0.9 * 60 / 450)
    assert cost(make_row('FRN', 4, 0.1, ap=0.3), times).gpu_hours == 0


def test_text_numbers_the_runs_and_names_its_basis(make_row, times):
    rows = [make_row('FRN', 4, logged=0), make_row('GN', 4, logged=0)]
    text = plan_text(rows, times, train_images=118287, price=2.5)
    frn, gn = text.splitlines()[2:4]
    # 80 steps of 32 images; 118287 images in COCO train2017.
    assert frn.split() == [
        '1',
        'FRN',
        '4',
        '0',
        '0.05',
        '0.025',
        '80',
        '2560',
        '0.0',
        '0.16',
        '0.006667',
    ]
    assert gn.split()[-2:] == ['?', '?']
    assert '0.40 at 2.5 a GPU-hour; 1 runs not measured' in text
    assert 'some GPU with torch 2.11' in text
    assert 'batches of 4 random images' in text


def test_without_a_measurement_there_is_no_estimate(make_row):
    text = plan_text([make_row('FRN', 4, logged=0)], None, train_images=118287, price=2.5)
    assert '--measure' in text
    assert 'at 2.5' not in text
    assert text.splitlines()[2].endswith('?')
