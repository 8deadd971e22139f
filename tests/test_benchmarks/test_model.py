"""The detectors whose training steps are timed."""

import pytest

from benchmarks.model import DEFAULT, LABELS, make_config
from mmdet_frn.norms import NORMS


@pytest.mark.parametrize('name', sorted({*DEFAULT, *LABELS}))
def test_every_norm_has_a_detector(name):
    model = make_config(name, depth=50, size=64).model
    (row,) = (row for row in NORMS if row.label == name.split(' fused')[0].split(' reference')[0])
    for part in (model.backbone, model.neck, model.bbox_head):
        assert part.norm_cfg == row.norm_cfg
    assert model.neck.act_cfg is None
    assert model.bbox_head.act_cfg == row.act_cfg
    assert model.backbone.depth == 50
