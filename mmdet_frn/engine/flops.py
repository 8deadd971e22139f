"""FLOPs of the fused op for MMEngine's counter, which MMDetection's get_flops runs."""

from __future__ import annotations

from mmengine.analysis import complexity_analysis
from mmengine.analysis.jit_handles import norm_flop_counter


def register() -> None:
    """Count FRN as MMEngine counts GN: 5 operations an element, the activation after it 0.

    MMEngine has no public way to add an operator for every analysis, only for one.
    """
    complexity_analysis._DEFAULT_SUPPORTED_FLOP_OPS['mmdet_frn::frn'] = norm_flop_counter(1)
