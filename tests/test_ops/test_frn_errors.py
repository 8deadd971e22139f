"""Invalid arguments: the functions and the op itself name the argument and the shapes."""

import re
from contextlib import nullcontext

import pytest
import torch
from frn_equations import make_inputs

from mmdet_frn import ops
from mmdet_frn.ops.library import reference_only

X = torch.zeros(2, 3, 4, 4)
C = torch.zeros(3)
# What to replace in valid arguments, the error and its text.
CASES = [
    ({'x': X.long()}, TypeError, 'x must be a floating point tensor, but its dtype is torch.int64'),
    ({'x': X[0, 0, 0]}, ValueError, 'x must be (N, C, *) with zero to three spatial dimensions'),
    ({'x': X[:, :, :0]}, ValueError, 'x has an empty spatial extent, shape (2, 3, 0, 4)'),
    ({'weight': C[:2]}, ValueError, 'weight must have one element per channel, (3,) for an input '
     'of shape (2, 3, 4, 4), but its shape is (2,); channels come second, (N, C, *): set '
     'num_features to 3, or transpose tokens (N, L, C) with transpose(1, 2)'),
    ({'bias': X}, ValueError, 'bias must have one element per channel'),
    ({'tau': C.view(1, 3)}, ValueError, 'but its shape is (1, 3); channels come second'),
    ({'tau': C.long()}, TypeError, 'tau must be a floating point tensor'),
    ({'weight': C.to('meta')}, ValueError, 'weight is on meta and the input on cpu'),
    ({'eps': C[:2]}, ValueError, 'eps must be a number or a tensor of one element or of (3,), '
     'but its shape is (2,)'),
    ({'eps': C.int()}, TypeError, 'eps must be a floating point tensor'),
    ({'eps': float('inf')}, ValueError, 'eps must be finite, but is inf'),
    ({'residual': X[:1]}, ValueError, 'residual must have the shape and dtype of x, (2, 3, 4, 4) '
     'torch.float32, but has (1, 3, 4, 4) torch.float32'),
    ({'residual': X.half()}, ValueError, 'but has (2, 3, 4, 4) torch.float16'),
]  # fmt: skip
# What the op's schema refuses before the op is called.
NO_TENSORS = [
    ({'x': [1.0]}, TypeError, 'x must be a tensor, but is a list'),
    ({'weight': None}, TypeError, 'weight must be a tensor, but is a NoneType'),
    ({'bias': [1.0]}, TypeError, 'bias must be a tensor, but is a list'),
    ({'tau': None}, TypeError, 'tau must be a tensor, but is a NoneType'),
    ({'eps': '1'}, TypeError, 'eps must be a number or a tensor, but is a str'),
    ({'residual': 1.0}, TypeError, 'residual must be a tensor, but is a float'),
]
IDS = [f'{next(iter(change))}{i}' for i, (change, _, _) in enumerate(CASES)]


def arguments(change):
    return dict(x=X, weight=C, bias=C, tau=C, eps=1e-6, residual=X) | change


@pytest.mark.parametrize('library', [nullcontext, reference_only], ids=['op', 'reference'])
def test_functions(library):
    for change, error, text in CASES + NO_TENSORS:
        with library(), pytest.raises(error, match=re.escape(text)):
            ops.frn_tlu(**arguments(change))


@pytest.mark.parametrize('library', [nullcontext, reference_only], ids=['op', 'reference'])
def test_tlu(library):
    renamed = [case for case in CASES + NO_TENSORS if next(iter(case[0])) in ('x', 'tau')]
    for change, error, text in renamed:
        args = arguments(change)
        message = re.escape(re.sub(r'^x ', 'y ', text))
        with library(), pytest.raises(error, match=message):
            ops.tlu(args['x'], args['tau'])


@pytest.mark.parametrize(('change', 'error', 'text'), CASES, ids=IDS)
def test_op_called_directly(change, error, text):
    if not ops.is_compiled():
        pytest.skip('compiled library absent')
    args = arguments(change)
    eps = args.pop('eps')
    if isinstance(eps, torch.Tensor):
        args['eps'] = eps
    else:
        args['eps_value'] = eps
    with pytest.raises(error, match=re.escape(text)):
        torch.ops.mmdet_frn.frn(**args)


@pytest.mark.parametrize('name', ['dz', 'rstd'])
def test_backward_called_directly(name):
    if not ops.is_compiled():
        pytest.skip('compiled library absent')
    inputs = make_inputs((2, 3, 4, 4), torch.float32, torch.device('cpu'))
    args = dict(dz=inputs.dz, rstd=torch.ones(2, 3)) | {name: torch.ones(2, 4)}
    with pytest.raises(ValueError, match=name):
        torch.ops.mmdet_frn.frn_backward(
            args['dz'], inputs.x, args['rstd'], C, C, None, 1e-6, C, None, [True] * 6
        )
