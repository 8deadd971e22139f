"""The CUDA kernels of the norms over groups, executed on the CPU, against PyTorch's in fp64.

MMDET_FRN_EMULATED_CASES: how many random cases to run besides the fixed ones. Default 4 here.
"""

import os
from dataclasses import dataclass, replace

import pytest
import torch
from emulated_cases import (
    NAMES,
    EmulatedCase,
    assert_matches_in_every_order,
    make_random_group_cases,
    same_bits,
)
from emulator import (
    SM_80,
    SM_90,
    SM_90_CLUSTERS_OF_8,
    SMALL_SM_75,
    TYPES,
    Emulator,
)
from frn_equations import assert_matches, channels_last, contiguous, rows
from group_equations import GroupInputs, expected, make_inputs

OPTIONS = (
    dict(),
    dict(act='relu', residual=True),
    dict(centered=False, residual=True, unwanted=('bias', 'residual')),
    dict(act=None, unwanted=('bias',)),
    dict(centered=False, act='relu', unwanted=('weight', 'bias')),
    dict(residual=True, unwanted=('weight', 'tau')),
    dict(act=None, residual=True),
)


@dataclass(frozen=True)
class Case(EmulatedCase):
    shape: tuple
    groups: int
    dtype: torch.dtype
    layout: object = contiguous
    device: int = SM_90
    shift: int = 0  # elements; each tensor is shifted by another multiple
    centered: bool = True
    act: str | None = 'tlu'
    residual: bool = False
    mean: float = 0.5
    unwanted: tuple = ()

    def __str__(self):
        return f'{self.groups}-{super().__str__()}'

    def inputs(self) -> GroupInputs:
        torch.manual_seed(0)
        return make_inputs(
            self.shape, self.groups, self.dtype, self.centered, self.act, self.residual,
            self.layout, self.mean,
        )  # fmt: skip


def make_cases() -> list[Case]:
    """Every kernel: each dtype, layout and alignment; parts of rows; launches that are split."""
    cases = []
    for dtype in TYPES:
        pack = 16 // dtype.itemsize
        # Three rows of so many packs, and where they go: lanes, a block, a cluster, chunks.
        for packs, device in ((3, SMALL_SM_75), (40, SM_90), (150, SM_80), (700, SM_90)):
            cases.append(Case((2, 6, packs * pack), 2, dtype, device=device))
            cases.append(Case((2, 6, packs * pack - 1), 2, dtype, device=device, shift=1))
        cases.append(Case((1, 2, 4200 * pack - 1), 1, dtype, device=SM_80, shift=1))
        cases.append(Case((2, 4 * pack, 5, 8), 4, dtype, channels_last))
        cases.append(Case((3, 4 * pack + 2, 9, 7), 2, dtype, channels_last, SMALL_SM_75, shift=1))
    half, single = torch.float16, torch.float32
    cases += [
        Case((2, 4, 16400), 2, single, device=SMALL_SM_75, shift=3),  # a few groups at a time
        Case((1, 129, 260), 1, single),  # nothing is left for the last block of a cluster
        Case((1, 2, 8300 * 8), 1, half),  # clusters of 16
        Case((7, 100, 3, 3), 50, half, device=SMALL_SM_75, shift=1),  # more than a launch takes
        Case((2, 10, 25), 10, half, device=SMALL_SM_75),
        Case((1, 300, 2), 1, single),
        Case((1, 300, 20), 1, single, device=SM_80),  # more channels of a group than block threads
        Case((2, 288, 5, 3), 32, half, channels_last),  # more channels than a block takes
        Case((2, 24, 40, 40), 3, half, channels_last),  # several chunks of pixels
        Case((2, 6, 40, 41), 6, single, channels_last, SMALL_SM_75, shift=1),
        Case((5, 40), 8, single),  # no spatial extent
        Case((3, 1, 40), 1, single),
    ]
    cases = [replace(c, **OPTIONS[i % len(OPTIONS)]) for i, c in enumerate(cases)]
    return [*cases, Case((2, 6, 4, 5), 2, single, unwanted=('x',))]


CASES = make_cases()
RANDOM_CASES = make_random_group_cases(
    Case, OPTIONS, int(os.getenv('MMDET_FRN_EMULATED_CASES', '4'))
)


def assert_case_matches(emulator: Emulator, case: Case) -> None:
    inputs = case.inputs()
    desired = expected(inputs.requires_grad_())
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
    kernels = emulator.kernels('group')
    assert len(kernels) > 50
    assert kernels - emulator.reached == set()


def assert_ties_go_where_they_should(emulator: Emulator, case: Case) -> None:
    """Y is the bias where x is 0 throughout: here at the threshold, and a TLU or ReLU follows."""
    inputs = case.inputs()
    inputs.x[0] = 0
    threshold = inputs.tau if case.act == 'tlu' else torch.zeros_like(inputs.bias)
    inputs.bias = threshold.clone()
    out = emulator.run(inputs)
    z = rows(threshold, inputs.x).expand_as(inputs.x)[0]
    assert torch.equal(out['z'][0], z)
    desired = expected(inputs.requires_grad_())
    if case.act == 'relu':
        assert_matches('bias', out['bias'], desired['bias'], 40)
    else:  # torch.maximum halves a tie, which belongs to y
        at_a_tie = inputs.dz[0].double().flatten(1).sum(1)
        assert_matches('bias', out['bias'], desired['bias'] + at_a_tie / 2, 40)
        assert_matches('tau', out['tau'], desired['tau'] - at_a_tie / 2, 40)


@pytest.mark.parametrize('act', ['tlu', 'relu'])
@pytest.mark.parametrize('layout', [contiguous, channels_last])
def test_a_tie_goes_to_y_of_a_tlu_and_nowhere_in_a_relu(emulator, layout, act):
    case = Case((2, 8, 5, 4), 2, torch.float32, layout, act=act)
    assert_ties_go_where_they_should(emulator, case)


@pytest.mark.parametrize('act', ['tlu', 'relu'])
def test_a_nan_goes_through(emulator, act):
    inputs = Case((2, 8, 5, 4), 2, torch.float32, act=act).inputs()
    inputs.x[0, 0, 0, 0] = torch.nan
    if act == 'tlu':
        inputs.tau[5] = torch.nan
    z = emulator.run(inputs)['z']
    assert z[0, :4].isnan().all()  # the group of channels 0 to 3
    assert not z[1, :4].isnan().any()
    assert z[:, 5].isnan().all() == (act == 'tlu')
    assert not z[:, 6:].isnan().any()


# Two devices whose plans are the same.
PLANS = {
    'lanes': ((2, 8, 9), contiguous, SM_90, SMALL_SM_75),
    'block': ((2, 8, 1700), contiguous, SM_90, SM_80),
    'cluster': ((2, 4, 8300), contiguous, SM_90, SM_90_CLUSTERS_OF_8),
    'chunks': ((2, 4, 16500), contiguous, SM_80, SMALL_SM_75),
    'channels_last': ((2, 8, 33, 20), channels_last, SM_90, SMALL_SM_75),
}
over_plans = pytest.mark.parametrize(
    ('shape', 'layout', 'device', 'other'), PLANS.values(), ids=PLANS
)


@over_plans
def test_squares_that_overflow_give_the_bias(emulator, shape, layout, device, other):
    inputs = Case(shape, 2, torch.float32, layout, centered=False, act=None).inputs()
    inputs.x = inputs.x.sign() * 3e38
    inputs.dz *= 1e3  # x * dz overflows too
    out = emulator.run(inputs, device)
    torch.testing.assert_close(out['z'], rows(inputs.bias, inputs.x).expand(shape).contiguous())
    assert not out['x'].any()
    assert not out['weight'].any()


@over_plans
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=NAMES.get)
def test_a_mean_far_above_the_deviation(emulator, shape, layout, device, other, dtype):
    inputs = Case(shape, 2, dtype, layout, act=None, mean=100.0).inputs()
    stats = emulator.run(inputs, device)['stats'].double()
    groups = inputs.x.double().reshape(shape[0], 2, -1)
    torch.testing.assert_close(stats[0], groups.mean(2), rtol=1e-6, atol=0)
    rstd = (groups.var(2, correction=0) + inputs.eps).rsqrt()
    torch.testing.assert_close(stats[1], rstd, rtol=2e-6, atol=0)


@pytest.mark.parametrize('plan', ['lanes', 'block', 'cluster'])
def test_an_outlier_costs_no_digits(emulator, plan):
    shape, layout, device, _ = PLANS[plan]
    inputs = Case(shape, 2, torch.float32, layout, act=None).inputs()
    inputs.x[:, 2, shape[2] * 2 // 3] = 300.0
    stats = emulator.run(inputs, device)['stats'].double()
    groups = inputs.x.double().reshape(shape[0], 2, -1)
    rstd = (groups.var(2, correction=0) + inputs.eps).rsqrt()
    torch.testing.assert_close(stats[1], rstd, rtol=5e-7, atol=0)


@over_plans
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=NAMES.get)
def test_bits_depend_neither_on_the_batch_nor_on_addresses(
    emulator, shape, layout, device, other, dtype
):
    inputs = Case((3, *shape[1:]), 2, dtype, layout, residual=True).inputs()
    whole = emulator.run(inputs, device)
    one = {name: layout(getattr(inputs, name)[1:2]) for name in ('x', 'residual', 'dz')}
    part = emulator.run(replace(inputs, **one), other)
    for name in ('z', 'x', 'residual'):
        assert same_bits(whole[name][1:2], part[name]), name
    assert same_bits(whole['stats'][:, 1:2], part['stats'])
    shifted = emulator.run(inputs, device, shift={'x': 1, 'residual': 2, 'dz': 1, 'dx': 1})
    for name, tensor in whole.items():
        assert same_bits(tensor, shifted[name]), name
