"""FRN + TLU on random shapes, strides and arguments, against fp64."""

import torch
from frn_equations import LAYOUTS, TOLERANCE, assert_op_matches, make_inputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SIZES = st.lists(st.integers(1, 20), min_size=0, max_size=3)


@settings(
    derandomize=True,
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    n=st.integers(0, 3),
    c=st.integers(1, 40),
    spatial=SIZES,
    dtype=st.sampled_from(list(TOLERANCE)),
    layout=st.sampled_from(list(LAYOUTS)),
    residual=st.booleans(),
    eps=st.sampled_from(['number', 'one', 'channel']),
    permute=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_shape(fused, device, n, c, spatial, dtype, layout, residual, eps, permute, seed):
    from mmdet_frn import ops

    torch.manual_seed(seed)
    inputs = make_inputs((n, c, *spatial), dtype, device, LAYOUTS[layout], residual, eps)
    if permute:  # the same elements in memory in the opposite order of dimensions
        order = tuple(reversed(range(inputs.x.dim())))
        inputs.x = inputs.x.permute(order).contiguous().permute(order)
    assert_op_matches(ops.frn_tlu, inputs)
