"""The CUDA kernels of TLU, Affine-TLU and DyT, executed on the CPU, against PyTorch in fp64."""

import os
import random
from dataclasses import dataclass, replace

import pytest
import torch
from emulated_cases import NAMES, EmulatedCase, assert_matches_in_every_order, same_bits
from emulator import (
    SM_80,
    SM_90,
    SMALL_SM_75,
    TYPES,
    Emulator,
)
from frn_equations import assert_matches, channels_last, contiguous
from pointwise_equations import PARAMS, PointwiseInputs, expected, make_inputs

from mmdet_frn import ops

HALF, SINGLE = torch.float16, torch.float32


@dataclass(frozen=True)
class Case(EmulatedCase):
    function: str
    shape: tuple
    dtype: torch.dtype
    layout: object = contiguous
    device: int = SM_90
    shift: int = 0  # elements; each tensor is shifted by another multiple

    def __str__(self):
        return f'{self.function}-{super().__str__()}'

    def inputs(self) -> PointwiseInputs:
        torch.manual_seed(0)
        return make_inputs(self.function, self.shape, self.dtype, self.layout)


def make_cases() -> list[Case]:
    """Every kernel: each function, dtype, layout and alignment; rows and maps in parts."""
    cases = []
    for function in PARAMS:
        for dtype in TYPES:
            pack = 16 // dtype.itemsize
            cases.append(Case(function, (2, 3, 5 * pack), dtype))
            cases.append(Case(function, (2, 3, 5 * pack + 1), dtype, shift=1))
            cases.append(Case(function, (2, 2 * pack, 5, 3), dtype, channels_last))
            cases.append(Case(function, (2, 2 * pack + 1, 5, 3), dtype, channels_last, shift=1))
    return [
        *cases,
        Case('affine_tlu', (1, 2, 100 * 4), SINGLE, device=SM_80),  # a warp a row
        Case('affine_tlu', (2, 2, 700 * 8), HALF),  # rows of several parts
        Case('dyt', (1, 1, 2100 * 8), HALF),  # parts of several rounds
        Case('dyt', (1, 1, 2100 * 4 + 3), SINGLE, shift=1),
        Case('tlu', (1, 1, 8500 * 4 + 1), SINGLE, device=SMALL_SM_75),  # of the most rounds
        Case('tlu', (9, 50, 3), HALF, shift=3),  # more rows than a launch takes
        Case('affine_tlu', (2, 200, 65 * 4), SINGLE),  # an image has more parts than that
        Case('affine_tlu', (2, 300, 5, 3), HALF, channels_last),  # more channels than a block takes
        Case('dyt', (2, 24, 40, 20), HALF, channels_last),  # several chunks of pixels
        Case('dyt', (40, 40), SINGLE),  # no spatial extent
        Case('affine_tlu', (70, 1, 2), HALF),
    ]


def make_random_cases(count: int) -> list[Case]:
    draw = random.Random(0)
    cases = []
    for _ in range(count):
        spatial = draw.choice(
            [(), (draw.randint(1, 3000),), (draw.randint(1, 40), draw.randint(1, 40))]
        )
        shape = (draw.randint(1, 4), draw.choice([1, 3, 8, 24, 33]), *spatial)
        layout = channels_last if len(shape) == 4 and draw.random() < 0.5 else contiguous
        function, dtype = draw.choice(list(PARAMS)), draw.choice(TYPES)
        device, shift = draw.randrange(4), draw.choice([0, 0, 1, 3])
        cases.append(Case(function, shape, dtype, layout, device, shift))
    return cases


CASES = make_cases()
RANDOM_CASES = make_random_cases(int(os.getenv('MMDET_FRN_EMULATED_CASES', '6')))


def assert_case_matches(emulator: Emulator, case: Case) -> None:
    inputs = case.inputs()
    assert_matches_in_every_order(emulator, case, inputs, expected(inputs))


@pytest.mark.parametrize('case', CASES, ids=str)
def test_op_matches_fp64_in_every_order_of_threads(emulator, case):
    assert_case_matches(emulator, case)


def test_random_cases_match_fp64(emulator):
    for case in RANDOM_CASES:
        assert_case_matches(emulator, case)


def test_fixed_cases_reach_every_kernel(emulator):
    for case in CASES:
        case.run(emulator, case.inputs())
    kernels = emulator.kernels('pointwise')
    assert len(kernels) == 3 * 4 * 2 * 4 + 3 * 2
    assert kernels - emulator.reached == set()


def assert_ties_go_to_x(emulator: Emulator, case: Case) -> None:
    inputs = case.inputs()
    inputs.params = tuple(torch.zeros_like(p) for p in inputs.params)
    inputs.x[:, :, ::2] = 0
    inputs.dz = torch.randn_like(inputs.dz)
    out = case.run(emulator, inputs)
    kept = inputs.x >= 0
    assert torch.equal(out['z'], inputs.x.relu())
    assert torch.equal(out['x'], inputs.dz * kept), 'a tie of x'
    dropped = (inputs.dz.double() * ~kept).sum((0, *range(2, inputs.x.dim())))
    assert_matches('tau', out['tau'], dropped, inputs.x.numel())


@pytest.mark.parametrize('function', ['tlu', 'affine_tlu'])
@pytest.mark.parametrize('layout', [contiguous, channels_last])
def test_a_tie_goes_to_x(emulator, function, layout):
    assert_ties_go_to_x(emulator, Case(function, (2, 8, 5, 4), SINGLE, layout))


@pytest.mark.parametrize('function', PARAMS)
def test_a_nan_goes_through(emulator, function):
    inputs = Case(function, (2, 8, 5, 4), SINGLE).inputs()
    inputs.x[0, 0, 0, 0] = torch.nan
    if function != 'affine_tlu':  # where a NaN of the line leaves x, as in the reference
        inputs.params[-1][1] = torch.nan
    z = emulator.run(inputs)['z']
    seen = z.isnan()
    assert seen[0, 0, 0, 0]
    assert seen.sum() == (1 if function == 'affine_tlu' else 41)
    assert function == 'affine_tlu' or seen[:, 1].all()


def test_parameters_that_overflow_do_not_reach_past_a_row(emulator):
    # 0 is no neutral x of DyT where alpha is infinite: 0 * infinity.
    inputs = Case('dyt', (1, 2, 5), SINGLE).inputs()
    inputs.params[2][:] = torch.inf
    out = emulator.run(inputs)
    want = (inputs.dz * inputs.x.sign()).sum((0, 2))
    assert_matches('weight', out['weight'], want.double(), 5)


@pytest.mark.parametrize('function', ['tlu', 'affine_tlu'])
@pytest.mark.parametrize('dtype', TYPES, ids=NAMES.get)
def test_elements_have_the_bits_of_the_cpu_kernels(emulator, function, dtype):
    if not ops.library.runs_fused('pointwise', torch.device('cpu')):
        pytest.skip('compiled library absent, or older than this op')
    if torch.backends.cpu.get_cpu_capability() == 'DEFAULT':
        pytest.skip('this CPU rounds between a product and a sum')
    inputs = Case(function, (2, 3, 5, 7), dtype).inputs()
    out = emulator.run(inputs)
    x = inputs.x.detach().requires_grad_()
    z = getattr(ops, function)(x, *inputs.params)
    assert same_bits(out['z'], z.detach())
    assert same_bits(out['x'], torch.autograd.grad(z, x, inputs.dz)[0])


@pytest.mark.parametrize('function', PARAMS)
@pytest.mark.parametrize(
    ('shape', 'layout'),
    [((3, 4, 45), contiguous), ((3, 2, 8400), contiguous), ((3, 16, 9, 7), channels_last)],
    ids=['lanes', 'parts', 'channels_last'],
)
def test_bits_depend_neither_on_the_batch_nor_on_addresses(emulator, function, shape, layout):
    inputs = Case(function, shape, HALF, layout).inputs()
    whole = emulator.run(inputs)
    shifted = emulator.run(inputs, SMALL_SM_75, shift={'x': 1, 'dz': 3, 'dx': 2})
    for name, tensor in whole.items():
        assert same_bits(tensor, shifted[name]), name
    one = emulator.run(replace(inputs, x=layout(inputs.x[1:2]), dz=layout(inputs.dz[1:2])))
    for name in ('z', 'x'):
        assert same_bits(whole[name][1:2], one[name]), name
