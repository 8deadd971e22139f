"""MMDetection's FPN with norm and activation on its outputs and none on its laterals."""

from __future__ import annotations

from mmdet.models.necks import FPN
from mmdet.registry import MODELS


@MODELS.register_module()
class NormActFPN(FPN):
    """FPN whose ``norm_cfg`` and ``act_cfg`` apply to the output convolutions (P3-P7) alone.

    The laterals are sums in the making: with a threshold on each of them the top-down path could
    only add. MMDetection's FPN can leave out their norm, but not their activation. The TensorFlow
    RetinaNet too has no norm on the laterals.

    Args:
        in_channels, out_channels, num_outs, kwargs: As for FPN, without ``no_norm_on_lateral``.
    """

    def __init__(self, in_channels: list[int], out_channels: int, num_outs: int, **kwargs) -> None:
        super().__init__(in_channels, out_channels, num_outs, no_norm_on_lateral=True, **kwargs)
        for lateral in self.lateral_convs:
            if lateral.with_activation:
                lateral.with_activation = False
                del lateral.activate
