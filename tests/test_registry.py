"""The registries that the layers and models are found in."""

import mmengine
from mmdet.registry import MODELS

from mmdet_frn.layers import FRN, TLU
from mmdet_frn.models import NormActFPN, NormActResNet, NormActRetinaHead
from mmdet_frn.registry import ACTIVATION_LAYERS, NORM_LAYERS


def test_layers_are_where_mmcvs_builders_look():
    assert NORM_LAYERS.get('FRN') is FRN
    assert ACTIVATION_LAYERS.get('TLU') is TLU
    assert NORM_LAYERS is ACTIVATION_LAYERS is mmengine.registry.MODELS


def test_layers_and_models_are_found_from_mmdetections_scope():
    for cls in (FRN, TLU, NormActResNet, NormActFPN, NormActRetinaHead):
        assert MODELS.get(cls.__name__) is cls
