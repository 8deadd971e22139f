"""The maps that the benchmark measures are those of the detector."""

import pytest

from benchmarks.maps import find_maps
from mmdet_frn.utils.config import load_config

CONFIG = 'configs/table6/retinanet_r101_fpn_{}-all_8xb2-500k_coco-1024.py'


@pytest.fixture
def maps(request):
    return {
        norm: find_maps(load_config(request.config.rootpath / CONFIG.format(norm)), 256)
        for norm in ('bn', 'gn')
    }


def test_are_those_of_retinanet(maps):
    found = {m.name: m for m in maps['bn']}
    assert list(found)[:2] == ['64x128x128', '64x64x64']
    assert found['64x128x128'].places == 'stem'
    assert found['2048x8x8'].places == 'C5'
    # C4's inner norms, P4's one of the neck and two towers of four.
    assert found['256x16x16'].places == 'C4 P4'
    assert found['256x16x16'].calls == 1 + 22 * 2 + 1 + 8
    assert found['256x2x2'].calls == 1 + 8
    assert sum(m.calls for m in found.values()) == 1 + 3 * 33 + 4 + 5 + 5 * 8


def test_are_the_same_for_every_norm(maps):
    assert maps['bn'] == maps['gn']
