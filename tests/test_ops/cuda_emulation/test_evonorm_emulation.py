"""The CUDA kernels of EvoNorm-S0, executed on the CPU, against its equation in fp64."""

import os
from dataclasses import dataclass, replace

import pytest
import torch
from emulated_cases import (
    EmulatedCase,
    assert_matches_in_every_order,
    make_random_group_cases,
    same_bits,
)
from emulator import (
    SM_80,
    SM_90,
    SMALL_SM_75,
    TYPES,
    Emulator,
)
from evonorm_equations import EvoNormInputs, expected, make_inputs
from frn_equations import assert_matches, channels_last, contiguous, rows

HALF, SINGLE = torch.float16, torch.float32
OPTIONS = (
    dict(),
    dict(with_v=False, unwanted=('bias',)),
    dict(unwanted=('weight', 'v')),
    dict(unwanted=('weight', 'bias', 'v')),
)


@dataclass(frozen=True)
class Case(EmulatedCase):
    shape: tuple
    groups: int
    dtype: torch.dtype
    layout: object = contiguous
    device: int = SM_90
    shift: int = 0  # elements; each tensor is shifted by another multiple
    with_v: bool = True
    mean: float = 0.5
    unwanted: tuple = ()

    def __str__(self):
        return f'{self.groups}-{super().__str__()}'

    def inputs(self) -> EvoNormInputs:
        torch.manual_seed(0)
        return make_inputs(self.shape, self.groups, self.dtype, self.with_v, self.layout, self.mean)


def make_cases() -> list[Case]:
    """Every kernel: each dtype, layout, scope and alignment."""
    cases = []
    for dtype in TYPES:
        pack = 16 // dtype.itemsize
        # Groups of some lanes, of a block, of a cluster, in parts.
        for packs, device in ((3, SMALL_SM_75), (150, SM_80), (1200, SM_90), (1200, SM_80)):
            cases.append(Case((1, 4, packs * pack), 2, dtype, device=device))
            cases.append(Case((1, 4, packs * pack + 1), 2, dtype, device=device, shift=1))
        cases.append(Case((2, 4 * pack, 5, 8), 4, dtype, channels_last))
        cases.append(Case((3, 4 * pack + 2, 9, 7), 2, dtype, channels_last, SMALL_SM_75, shift=1))
    cases += [
        Case((2, 288, 5, 3), 32, HALF, channels_last),  # more channels than a block takes
        Case((2, 24, 40, 40), 3, HALF, channels_last),  # several chunks of pixels
        Case((5, 40), 8, SINGLE),  # no spatial extent
        Case((3, 1, 40), 1, SINGLE),
    ]
    cases = [replace(c, **OPTIONS[i % len(OPTIONS)]) for i, c in enumerate(cases)]
    return [*cases, Case((2, 6, 4, 5), 2, SINGLE, unwanted=('x',))]


CASES = make_cases()
RANDOM_CASES = make_random_group_cases(
    Case, OPTIONS, int(os.getenv('MMDET_FRN_EMULATED_CASES', '3'))
)


def assert_case_matches(emulator: Emulator, case: Case) -> None:
    inputs = case.inputs()
    desired = expected(inputs)
    assert_matches_in_every_order(emulator, case, inputs, desired, saved=('stats',))


@pytest.mark.parametrize('case', CASES, ids=str)
def test_op_matches_fp64_in_every_order_of_threads(emulator, case):
    assert_case_matches(emulator, case)


def test_random_cases_match_fp64(emulator):
    for case in RANDOM_CASES:
        assert_case_matches(emulator, case)


def test_fixed_cases_reach_every_kernel(emulator):
    for case in CASES:
        case.run(emulator, case.inputs())
    kernels = emulator.kernels('evonorm')
    assert len(kernels) > 100
    assert kernels - emulator.reached == set()


def test_a_nan_goes_through(emulator):
    inputs = Case((2, 8, 5, 4), 2, SINGLE).inputs()
    inputs.x[0, 0, 0, 0] = torch.nan
    inputs.v[5] = torch.nan
    z = emulator.run(inputs)['z']
    assert z[0, :4].isnan().all()  # the group of channels 0 to 3
    assert not z[1, :4].isnan().any()
    assert z[:, 5].isnan().all()
    assert not z[:, 6:].isnan().any()


def test_far_from_0_the_sigmoid_is_0_or_1(emulator):
    # exp(-x) leaves the range of fp32 at -88.7; in between its result is subnormal.
    inputs = Case((1, 1, 5, 13), 1, SINGLE).inputs()
    x = torch.cat([torch.linspace(-90, -87, 63), torch.tensor([0.0, 200])])
    inputs = replace(inputs, x=x.view(1, 1, 5, 13), v=torch.ones(1))
    out = emulator.run(inputs)
    desired = expected(inputs)
    for name in ('z', 'x', 'weight', 'v'):
        assert_matches(name, out[name], desired[name], 65)


SHAPES = [((2, 8, 100), contiguous), ((2, 8, 21000), contiguous), ((2, 8, 33, 20), channels_last)]
IDS = ['group', 'chunks', 'channels_last']


@pytest.mark.parametrize(('shape', 'layout'), SHAPES, ids=IDS)
def test_a_mean_far_above_the_deviation(emulator, shape, layout):
    inputs = Case(shape, 2, SINGLE, layout, mean=100.0).inputs()
    out = emulator.run(inputs, SM_80)
    x = inputs.x.double().reshape(shape[0], 2, -1)
    torch.testing.assert_close(out['stats'][0].double(), x.mean(2), rtol=1e-6, atol=0)
    rstd = (x.var(2, correction=0) + inputs.eps).rsqrt()
    torch.testing.assert_close(out['stats'][1].double(), rstd, rtol=2e-6, atol=0)


@pytest.mark.parametrize(('shape', 'layout'), SHAPES, ids=IDS)
def test_bits_depend_neither_on_the_batch_nor_on_addresses(emulator, shape, layout):
    inputs = Case((3, *shape[1:]), 2, HALF, layout).inputs()
    whole = emulator.run(inputs, SM_80)
    one = replace(inputs, x=layout(inputs.x[1:2]), dz=layout(inputs.dz[1:2]))
    part = emulator.run(one, SM_80)
    for name in ('z', 'x'):
        assert same_bits(whole[name][1:2], part[name]), name
    assert same_bits(whole['stats'][:, 1:2], part['stats'])
    shifted = emulator.run(inputs, SM_80, shift={'x': 1, 'dz': 3, 'dx': 2})
    for name, tensor in whole.items():
        assert same_bits(tensor, shifted[name]), name


def test_an_infinite_variance_gives_the_bias(emulator):
    inputs = Case((2, 8, 33), 2, SINGLE).inputs()
    inputs.x[0] = inputs.x[0].sign() * 1e25
    inputs.dz[0] *= 1e20  # x * dz overflows too
    out = emulator.run(inputs)
    bias = rows(inputs.bias, inputs.x).expand_as(inputs.x)
    assert torch.equal(out['z'][0], bias[0])
    alone = expected(replace(inputs, x=inputs.x[1:], dz=inputs.dz[1:]))
    for name in ('weight', 'v'):
        assert_matches(name, out[name], alone[name], 33)
