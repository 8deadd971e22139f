"""The CUDA kernels and launchers, executed on the CPU, against the fp64 equations.

MMDET_FRN_EMULATED_CASES: how many random cases to run besides the fixed ones. Default 25.
"""

import os
import random
from dataclasses import dataclass, field, replace

import pytest
import torch
from emulated_cases import NAMES, EmulatedCase, same_bits
from emulator import (
    ASCENDING,
    DESCENDING,
    RANDOM,
    SM_80,
    SM_90,
    SM_90_CLUSTERS_OF_8,
    SMALL_SM_75,
    TYPES,
    Emulator,
)
from frn_equations import (
    Inputs,
    assert_matches,
    channels_last,
    contiguous,
    expected,
    make_inputs,
)

OPTIONS = (
    dict(residual=True, eps='channel'),
    dict(),
    dict(residual=True, eps='one', unwanted=('bias', 'residual')),
    dict(tau=False, eps='one'),
    dict(eps='channel', unwanted=('x', 'tau', 'eps')),
    dict(residual=True, tau=False, unwanted=('weight',)),
    dict(residual=True),
    dict(residual=True, tau=False, eps='channel'),
)


@dataclass(frozen=True)
class Case(EmulatedCase):
    shape: tuple
    dtype: torch.dtype
    layout: object = contiguous
    device: int = SM_90
    shift: int = 0  # elements; each tensor is shifted by another multiple
    residual: bool = False
    tau: bool = True
    eps: str = 'number'
    unwanted: tuple = field(default=())

    def inputs(self) -> Inputs:
        torch.manual_seed(0)
        return make_inputs(self.shape, self.dtype, 'cpu', self.layout, self.residual, self.eps)

    def run(self, emulator: Emulator, inputs: Inputs, order: int = ASCENDING) -> dict:
        return super().run(emulator, inputs if self.tau else replace(inputs, tau=None), order)


def make_cases() -> list[Case]:
    """Every kernel: each dtype, scope and alignment; each layout; launches that are split."""
    cases = []
    for dtype in TYPES:
        pack = 16 // dtype.itemsize
        # Packs of a row, and where it then goes: lanes, more of them, a block, a cluster, chunks.
        for packs, device in ((5, SMALL_SM_75), (100, SM_90), (200, SM_80), (2100, SM_90)):
            cases.append(Case((2, 2, packs * pack), dtype, device=device))
            cases.append(Case((2, 2, packs * pack + 1), dtype, device=device, shift=1))
        cases.append(Case((1, 2, 4200 * pack), dtype, device=SM_80))
        cases.append(Case((1, 2, 4200 * pack - 1), dtype, device=SM_80, shift=1))
        cases.append(Case((3, 4 * pack, 9, 7), dtype, channels_last))
        cases.append(Case((3, 4 * pack + 1, 9, 7), dtype, channels_last, SMALL_SM_75, shift=1))
        # More pixels than a block holds of a slab of channels.
        cases.append(Case((2, 2 * pack, 33, 32), dtype, channels_last))
        cases.append(Case((2, 2 * pack + 1, 33, 32), dtype, channels_last, SMALL_SM_75, shift=1))
    half, single = torch.float16, torch.float32
    cases += [
        Case((1, 1, 16400 * 8), half),  # clusters of 16
        Case((1, 1, 16400 * 4 + 1), single, shift=3),
        Case((1, 1, 16400 * 8), half, device=SM_90_CLUSTERS_OF_8),
        Case((7, 100, 3, 3), half, device=SMALL_SM_75, shift=1),  # more rows than a launch takes
        Case((3, 300, 5, 3), half, channels_last),  # wide slabs
        Case((1, 5, 43, 47), half, channels_last, shift=3),  # the narrowest slab
        Case((1, 264, 33, 32), half, channels_last),  # more channels than a block takes
        Case((2, 24, 40, 40), half, channels_last),  # several chunks of pixels
        Case((2, 25, 40, 40), single, channels_last, SMALL_SM_75, shift=1),
        Case((2, 4, 33, 32), torch.float64, channels_last),
        Case((5, 40), single),  # no spatial extent
        Case((33, 3), half),
        Case((3, 1, 40), single),
        Case((1, 3, 33000), torch.bfloat16, device=SMALL_SM_75),  # chunks, a few rows at a time
    ]
    return [replace(c, **OPTIONS[i % len(OPTIONS)]) for i, c in enumerate(cases)]


def make_random_cases(count: int) -> list[Case]:
    draw = random.Random(0)
    cases = []
    for _ in range(count):
        spatial = draw.choice(
            [(), (draw.randint(1, 700),), (draw.randint(1, 40), draw.randint(1, 40))]
        )
        shape = (draw.randint(1, 4), draw.choice([1, 3, 8, 24, 33]), *spatial)
        layout = channels_last if len(shape) == 4 and draw.random() < 0.5 else contiguous
        device, shift = draw.randrange(4), draw.choice([0, 0, 1, 3])
        options = draw.choice(OPTIONS)
        cases.append(Case(shape, draw.choice(TYPES), layout, device, shift, **options))
    return cases


CASES = make_cases()
RANDOM_CASES = make_random_cases(int(os.getenv('MMDET_FRN_EMULATED_CASES', '25')))


def assert_case_matches(emulator: Emulator, case: Case) -> None:
    inputs = case.inputs()
    if not case.tau:  # nothing is below minus infinity
        inputs.tau = torch.full_like(inputs.tau, -torch.inf)
    out = case.run(emulator, inputs)
    desired = expected(inputs)
    compared = set(out) & set(desired)
    assert compared == set(desired) - set(case.unwanted) - (set() if case.tau else {'tau'})
    terms = inputs.x.numel() // inputs.x.shape[1]
    for name in sorted(compared):
        assert_matches(name, out[name], desired[name], 1 if name in {'x', 'z'} else terms)
    for order in (DESCENDING, RANDOM, RANDOM + 1):
        again = case.run(emulator, inputs, order)
        for name, tensor in out.items():
            assert same_bits(tensor, again[name]), f'{name} depends on the order of threads'


@pytest.mark.parametrize('case', CASES, ids=str)
def test_op_matches_fp64_in_every_order_of_threads(emulator, case):
    assert_case_matches(emulator, case)


def test_random_cases_match_fp64(emulator):
    for case in RANDOM_CASES:
        assert_case_matches(emulator, case)


def test_fixed_cases_reach_every_kernel(emulator):
    for case in CASES:
        case.run(emulator, case.inputs())
    kernels = emulator.kernels('frn')
    assert len(kernels) > 100
    assert kernels - emulator.reached == set()


@pytest.mark.parametrize('size', [7, 33], ids=['slab', 'chunks'])
def test_an_images_bits_do_not_depend_on_its_batch_in_channels_last(emulator, size):
    whole = Case((3, 20, size, 32), torch.float16, channels_last, residual=True).inputs()
    of_images = ('x', 'residual', 'dz')
    one = replace(whole, **{name: getattr(whole, name)[1:2].clone() for name in of_images})
    full = emulator.run(whole)
    part = emulator.run(one, SMALL_SM_75, shift={'x': 1, 'dz': 1, 'z': 1})
    for name in ('z', 'stats', 'x', 'residual'):
        assert same_bits(full[name][1:2], part[name]), name


def assert_ties_go_to_y(emulator: Emulator, case: Case) -> None:
    inputs = case.inputs()
    inputs.x[:, :, 1:3] = 0  # y is bias there
    inputs.bias = inputs.tau.clone()
    inputs.dz = torch.randn_like(inputs.dz)
    out = emulator.run(inputs)
    tie = inputs.x == 0
    assert torch.equal(out['z'][tie], inputs.tau.view(1, -1, 1, 1).expand_as(tie)[tie])
    desired = expected(inputs)
    for name in ('bias', 'tau'):
        assert_matches(name, out[name], desired[name], 40)


@pytest.mark.parametrize('layout', [contiguous, channels_last])
def test_a_tie_goes_to_y(emulator, layout):
    assert_ties_go_to_y(emulator, Case((2, 8, 5, 4), torch.float32, layout))


def test_a_nan_goes_through(emulator):
    inputs = Case((2, 8, 5, 4), torch.float32).inputs()
    inputs.x[0, 0, 0, 0] = torch.nan
    inputs.tau[1] = torch.nan
    z = emulator.run(inputs)['z']
    assert z[0, 0].isnan().all()
    assert z[:, 1].isnan().all()
    assert not z[1, 0].isnan().any()
    assert not z[:, 2:].isnan().any()


@pytest.mark.parametrize(
    ('shape', 'layout', 'device'),
    [
        ((2, 3, 45), contiguous, SM_90),
        ((2, 3, 1600), contiguous, SM_80),
        ((2, 3, 8400), contiguous, SM_90),
        ((2, 3, 8400), contiguous, SMALL_SM_75),
        ((2, 3, 9, 7), channels_last, SM_90),
    ],
    ids=['lanes', 'block', 'cluster', 'chunks', 'channels_last'],
)
@pytest.mark.parametrize('eps', ['one', 'channel'])
def test_an_overflowing_mean_square_counts_as_infinite(emulator, shape, layout, device, eps):
    # The result is the bias and no gradient is NaN, where x * dz overflows too.
    inputs = Case(shape, torch.float32, layout, residual=True, eps=eps).inputs()
    inputs.x[1] = inputs.x[1].sign() * 3e38
    inputs.tau = torch.full_like(inputs.tau, -1e3)
    inputs.dz = inputs.dz.abs() * 1e3
    out = emulator.run(inputs, device)
    bias = inputs.bias.view(-1, *[1] * (len(shape) - 2)) + inputs.residual[1]
    torch.testing.assert_close(out['z'][1], bias)
    assert torch.count_nonzero(out['x'][1]) == 0
    # weight and eps get what they get from the other image.
    alone = {n: v[:1] if n in {'x', 'residual', 'dz'} else v for n, v in vars(inputs).items()}
    desired = expected(Inputs(**alone))
    for name in ('weight', 'eps'):
        assert_matches(name, out[name], desired[name], inputs.dz[0, 0].numel())


@pytest.mark.parametrize('packs', [5, 100, 200, 2100])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=NAMES.get)
def test_a_rows_bits_do_not_depend_on_its_batch(emulator, dtype, packs):
    whole = replace(CASES[0], shape=(3, 4, packs * 16 // dtype.itemsize), dtype=dtype).inputs()
    one = {
        name: value[1:2].clone() if name in {'x', 'residual', 'dz'} else value
        for name, value in vars(whole).items()
    }
    full, part = emulator.run(whole), emulator.run(Inputs(**one))
    for name in ('z', 'stats', 'x', 'residual'):
        assert same_bits(full[name][1:2], part[name]), name


@pytest.mark.parametrize(('packs', 'device'), [(100, SM_90), (2100, SM_90), (2100, SM_80)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=NAMES.get)
def test_a_rows_bits_do_not_depend_on_its_address(emulator, dtype, packs, device):
    case = Case((2, 2, packs * 16 // dtype.itemsize), dtype, residual=True)
    inputs = case.inputs()
    at_16_bytes = emulator.run(inputs, device)
    shifted = emulator.run(inputs, device, shift={'x': 1, 'residual': 2, 'dz': 1})
    for name, tensor in at_16_bytes.items():
        assert same_bits(tensor, shifted[name]), name
