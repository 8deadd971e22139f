"""FLOPs of the fused ops for MMEngine's counter, which MMDetection's get_flops runs."""

from __future__ import annotations

from mmengine.analysis import complexity_analysis
from mmengine.analysis.jit_handles import elementwise_flop_counter, norm_flop_counter


def register() -> None:
    """Count our norms as MMEngine counts GN: 5 operations an element, the activation after it 0.

    A TLU or Affine-TLU alone and DyT count 1.

    MMEngine has no public way to add an operator for every analysis, only for one.
    """
    for op in ('mmdet_frn::frn', 'mmdet_frn::group_norm', 'mmdet_frn::evonorm_s0'):
        complexity_analysis._DEFAULT_SUPPORTED_FLOP_OPS[op] = norm_flop_counter(1)
    complexity_analysis._DEFAULT_SUPPORTED_FLOP_OPS['mmdet_frn::pointwise'] = (
        elementwise_flop_counter(1)
    )
