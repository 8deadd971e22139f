"""FRN + TLU under torch.func: each transform against a loop over autograd."""

import pytest
import torch
from torch import func

from mmdet_frn import ops
from mmdet_frn.layers import FRN

pytestmark = pytest.mark.filterwarnings('ignore:There is a performance drop')


@pytest.fixture
def args():
    """x of (3, 2, 5, 4, 3), weight, bias, tau, eps, in fp64."""
    torch.manual_seed(0)
    x = torch.randn(3, 2, 5, 4, 3, dtype=torch.float64)
    weight, bias, tau = torch.randn(3, 5, dtype=torch.float64)
    return x, weight, bias, tau, torch.full((1,), 1e-2, dtype=torch.float64)


def test_vmap_over_samples_and_models(args):
    x, weight, *rest = args
    weights = torch.stack([weight, -weight, 2 * weight])
    got = torch.vmap(lambda x, weight: ops.frn_tlu(x, weight, *rest))(x, weights)
    for one, x_one, weight_one in zip(got, x, weights, strict=True):
        assert torch.equal(one, ops.frn_tlu(x_one, weight_one, *rest))


def test_gradients_of_each_sample(args):
    x = args[0][0]
    layer = FRN(5, learnable_eps=True).double()

    def loss(params, sample):
        return func.functional_call(layer, params, (sample[None],)).pow(3).sum()

    params = dict(layer.named_parameters())
    got = torch.vmap(func.grad(loss), in_dims=(None, 0))(params, x)
    for index, sample in enumerate(x):
        expected = torch.autograd.grad(loss(params, sample), tuple(params.values()))
        for name, want in zip(params, expected, strict=True):
            torch.testing.assert_close(got[name][index], want)


def test_jacobians_and_forward_mode(args):
    x, *rest = args
    x, direction = x[0, :1, :, :2, :2], x[1, :1, :, :2, :2]

    def call(x):
        return ops.frn_tlu(x, *rest)

    jacobian = torch.autograd.functional.jacobian(call, x)
    torch.testing.assert_close(func.jacrev(call)(x), jacobian)
    torch.testing.assert_close(func.jacfwd(call)(x), jacobian)
    _, tangent = func.jvp(call, (x,), (direction,))
    torch.testing.assert_close(tangent, torch.einsum('...abcd,abcd', jacobian, direction))
    hessian = torch.autograd.functional.hessian(lambda x: call(x).sum(), x)
    torch.testing.assert_close(func.hessian(lambda x: call(x).sum())(x), hessian)


def test_wrong_arguments_are_named_there_too(args):
    x, weight, *rest = args
    with pytest.raises(ValueError, match='weight must have one element per channel'):
        func.grad(lambda x: ops.frn_tlu(x, weight[:2], *rest).sum())(x[0])
