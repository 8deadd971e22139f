"""The paper's figures as typed, against what its text says of them."""

from mmdet_frn.experiments.paper import IMAGES_PER_GPU, NORMS, paper_result


def ap(norm, images):
    return paper_result(norm, 'AP', images)


def test_differences_that_the_text_names():
    assert round(ap('FRN', 8) - ap('BN', 8), 1) == 0.9
    assert round(ap('FRN', 2) - ap('BN', 2), 1) == 8.9
    assert round(ap('BN', 8) - ap('BN', 2), 1) == 8.5
    assert round(ap('BN*', 2) - ap('BN', 2), 1) == 2.7
    assert ap('BN*', 8) == 38.3
    for norm in ('FRN', 'GN'):
        assert 0 < ap(norm, 8) - ap(norm, 2) <= 0.6 + 1e-9
    for images in IMAGES_PER_GPU:
        for metric in ('AP', 'AP50', 'AP75'):
            best = max(NORMS, key=lambda m: paper_result(m, metric, images))
            assert best == 'FRN'


def test_what_the_paper_does_not_have():
    assert paper_result('LN', 'AP', 8) is None
    assert paper_result('FRN', 'AP', 16) is None
