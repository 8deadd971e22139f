"""What the files of emulated ops share: a case's run, its comparison, random cases of groups."""

import random
from collections.abc import Callable

import torch
from emulator import ASCENDING, DESCENDING, RANDOM, TYPES, Emulator
from frn_equations import assert_matches, channels_last, contiguous

NAMES = {
    torch.float64: 'fp64',
    torch.float32: 'fp32',
    torch.float16: 'fp16',
    torch.bfloat16: 'bf16',
}
SHIFTED = ('x', 'residual', 'z', 'dz', 'dx', 'dresidual')


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))


class EmulatedCase:
    """Base of a case: a dataclass with shape, dtype, layout, device and shift."""

    unwanted: tuple = ()

    def __str__(self):
        size = 'x'.join(map(str, self.shape))
        return f'{size}-{NAMES[self.dtype]}-{self.layout.__name__}-{self.device}-{self.shift}'

    def run(self, emulator: Emulator, inputs: object, order: int = ASCENDING) -> dict:
        pack = 16 // self.dtype.itemsize
        shift = {name: self.shift * (i + 1) % pack for i, name in enumerate(SHIFTED)}
        return emulator.run(inputs, self.device, order, shift, self.unwanted)


def assert_matches_in_every_order(
    emulator: Emulator, case: EmulatedCase, inputs: object, desired: dict, saved: tuple = ()
) -> None:
    """Compare all results with the desired ones; ``saved`` are those that backward alone reads."""
    out = case.run(emulator, inputs)
    assert set(out) == {*saved, *desired} - set(case.unwanted)
    terms = inputs.x.numel() // inputs.x.shape[1]
    for name in sorted(set(out) - set(saved)):
        of_elements = name in {'x', 'z', 'residual'}
        assert_matches(name, out[name], desired[name], 1 if of_elements else terms)
    for order in (DESCENDING, RANDOM):
        again = case.run(emulator, inputs, order)
        for name, tensor in out.items():
            assert same_bits(tensor, again[name]), f'{name} depends on the order of threads'


def make_random_group_cases(make: Callable, options: tuple, count: int) -> list:
    draw = random.Random(0)
    cases = []
    for _ in range(count):
        spatial = draw.choice([(draw.randint(1, 700),), (draw.randint(1, 40), draw.randint(1, 40))])
        channels, groups = draw.choice([(12, 12), (12, 3), (8, 1), (33, 3), (64, 32), (1, 1)])
        shape = (draw.randint(2, 4), channels, *spatial)
        layout = channels_last if len(shape) == 4 and draw.random() < 0.5 else contiguous
        device, shift = draw.randrange(4), draw.choice([0, 0, 1, 3])
        chosen = draw.choice(options)
        cases.append(make(shape, groups, draw.choice(TYPES), layout, device, shift, **chosen))
    return cases
