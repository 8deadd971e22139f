"""Fixtures of the op tests: the devices, and the two implementations of one function."""

import sys
from pathlib import Path

import pytest
import torch

from mmdet_frn import ops

# The equations that the tests compare with are a module of their own, beside the tests.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def device(request):
    if request.param == 'cuda' and not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    return torch.device(request.param)


@pytest.fixture
def fused(device):
    """The user-facing op itself; skips where it is not there."""
    if not ops.is_compiled():
        pytest.skip('compiled library absent')
    if not ops.library.has_kernels(device.type):
        pytest.skip(f'compiled library without {device.type} kernels')
    return torch.ops.mmdet_frn.frn.default


@pytest.fixture(params=['fused', 'reference'])
def frn_tlu(request, device):
    """``frn_tlu`` of mmdet_frn.ops; on the fused kernels, then on the reference."""
    if request.param == 'reference':
        return ops.reference.frn_tlu
    request.getfixturevalue('fused')
    return ops.frn_tlu


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
