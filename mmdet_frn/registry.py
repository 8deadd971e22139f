"""The registries that FRN and TLU live in, under the names that users of MMCV 1.x know.

MMCV 2.x keeps norm and activation layers in MMEngine's root registry ``MODELS``, where
``build_norm_layer`` and ``build_activation_layer`` look them up from any scope, MMDetection's
included. Detector parts belong to MMDetection's own ``MODELS``, a child of that root.
"""

from mmengine.registry import MODELS as NORM_LAYERS

ACTIVATION_LAYERS = CONV_LAYERS = NORM_LAYERS

__all__ = ['ACTIVATION_LAYERS', 'CONV_LAYERS', 'NORM_LAYERS']
