"""What a conversion did: replaced, left and why, channels in trouble, how much prior it needs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

# Kappas to choose from.
KAPPAS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


@dataclass(frozen=True)
class Agreement:
    """A kappa, and the relative difference of the outputs from BN's, mean over runs."""

    kappa: float
    difference: float


@dataclass(frozen=True)
class Replaced:
    """A module, what it was, what it became, and a remark or ''."""

    name: str
    old: str
    new: str
    remark: str = ''


@dataclass(frozen=True)
class Left:
    """A module, or the place of an operator, that stayed, what it is, and why."""

    name: str
    what: str
    reason: str


@dataclass(frozen=True)
class ChannelTrouble:
    """Channels of a norm, and what is wrong with their statistics."""

    name: str
    channels: list[int]
    trouble: str


@dataclass
class Report:
    """Result of :func:`~mmdet_frn.convert.convert`; ``print`` it.

    ``variation`` is, per norm, the root mean square of log(nu2 / p) over the channels and example
    images: how far the images' mean squares are from the population's. ``suggested_kappa`` follows
    from it and judges each layer alone, so it is a lower bound; ``agreements`` are measured at the
    outputs, where kappa was chosen by them.
    """

    replaced: list[Replaced] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    channels: list[ChannelTrouble] = field(default_factory=list)
    variation: dict[str, float] = field(default_factory=dict)
    frozen: list[str] = field(default_factory=list)
    kappa: float = 0.0
    suggested_kappa: float | None = None
    agreements: list[Agreement] = field(default_factory=list)

    def __str__(self) -> str:
        lines = []
        for (old, new, remark), n in Counter(
            (r.old, r.new, r.remark) for r in self.replaced
        ).items():
            lines.append(f'{n:4d} {old} -> {new}' + (f' ({remark})' if remark else ''))
        if not lines:
            lines.append('   0 layers replaced: the model has no BN')
        groups: dict[tuple[str, str], list[str]] = {}
        for item in self.left:
            groups.setdefault((item.what, item.reason), []).append(item.name)
        for (what, reason), names in groups.items():
            lines.append(f'{len(names):4d} {what} left: {reason}; {some(names)}')
        if self.frozen:
            lines.append(
                f'{len(self.frozen):4d} of the new norms do not train, as the BN did not '
                f'(frozen_stages, requires_grad=False); {some(self.frozen)}'
            )
        for trouble, n in Counter(c.trouble for c in self.channels).items():
            of = [c for c in self.channels if c.trouble == trouble]
            where = some([f'{c.name} {c.channels[:4]}' for c in of])
            lines.append(
                f'{sum(len(c.channels) for c in of):4d} channels {trouble}, {n} norms; {where}'
            )
        if self.variation:
            mean = sum(self.variation.values()) / len(self.variation)
            worst = sorted(self.variation, key=self.variation.__getitem__, reverse=True)
            lines.append(
                f'nu2 of the example images differs from the statistics by a factor of '
                f'{math.exp(mean):.2g}, mean over norms; most in '
                + some([f'{name} ({math.exp(self.variation[name]):.2g})' for name in worst])
            )
        for found in self.agreements:
            chosen = ' <- chosen' if found.kappa == self.kappa else ''
            lines.append(
                f'kappa {found.kappa:6g}: outputs differ from BN by '
                f'{100 * found.difference:.1f}%{chosen}'
            )
        if self.suggested_kappa is not None and not self.agreements:
            lines.append(
                f'kappa is {self.kappa:g}; the example images suggest at least '
                f"{self.suggested_kappa:g}, and kappa='auto' measures the outputs"
            )
        return '\n'.join(lines)


def some(names: list[str], most: int = 3) -> str:
    """Return the first names, and how many more there are."""
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more
