"""How often an honest client is down-weighted as a function of how unusual its data is, over the seeds of a cell.

The clients of a run share its model and its rounds, and when a rule takes one of them it leaves another out: they are
not independent. So everything is brought to one number per seed first, and only those have an interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedskew.analysis.effects import Effect, tested
from fedskew.analysis.estimates import Estimate, estimate
from fedskew.analysis.pays.treatment import Treated, TreatedRun
from fedskew.analysis.significance import FEWEST

BINS = 10
"""Of unusualness, from 0 to 1, each as wide as the step of a slope; the same for all defences, cells and studies."""
STEP = 1 / BINS


@dataclass(frozen=True)
class Bin:
    """The honest clients whose unusualness u lies in low <= u < high.

    Attributes:
        down_weighted, rejected: in percent of the rounds, mean over seeds of each seed's mean over its clients.
        weight: the same of the mean weight in units of an equal one.
        clients: how many there are, over all runs.
    """

    low: float
    high: float
    down_weighted: Estimate
    rejected: Estimate
    weight: Estimate
    clients: int

    @property
    def middle(self) -> float:
        """Where it lies on the axis."""
        return (self.low + self.high) / 2


@dataclass(frozen=True, kw_only=True)
class Slope(Effect):
    """By how many percentage points more often a client is down-weighted per 0.1 of total variation, within a run."""


def in_bins(runs: Sequence[TreatedRun]) -> list[Bin]:
    """The bins that have clients of at least ``FEWEST`` seeds, from the most usual to the most unusual."""
    inside: list[list[TreatedRun]] = [[] for _ in range(BINS)]
    for run in runs:
        clients: dict[int, list[Treated]] = {}
        for client in run.clients:
            clients.setdefault(_number(client), []).append(client)
        for number, some in clients.items():
            inside[number].append(replace(run, clients=tuple(some)))
    found = (_bin(number / BINS, (number + 1) / BINS, some) for number, some in enumerate(inside))
    return [one for one in found if one.down_weighted.n >= FEWEST]


def everybody(runs: Sequence[TreatedRun]) -> Bin:
    """All honest clients as one bin, of any number of seeds."""
    return _bin(0.0, 1.0, runs)


def _number(client: Treated) -> int:
    """Of its bin; an unusualness that is at an edge but for its last bits is at the edge."""
    return min(int(client.unusualness * BINS + 1e-9), BINS - 1)


def _bin(low: float, high: float, runs: Sequence[TreatedRun]) -> Bin:
    groups: dict[int, list[Treated]] = {}
    for run in sorted((run for run in runs if run.clients), key=lambda run: (run.seed, run.name)):
        groups.setdefault(run.seed, []).extend(run.clients)

    def over_seeds(value: Callable[[Treated], float], highest: float) -> Estimate:
        means = [math.fsum(map(value, clients)) / len(clients) for clients in groups.values()]
        return estimate(means, bounds=(0.0, highest))

    return Bin(
        low,
        high,
        over_seeds(lambda client: 100 * client.down_weighted, 100.0),
        over_seeds(lambda client: 100 * client.rejected, 100.0),
        over_seeds(lambda client: client.weight, math.inf),
        sum(map(len, groups.values())),
    )


def slope(runs: Sequence[TreatedRun]) -> Slope | None:
    """The mean over seeds of each seed's least-squares slope; None if no seed has clients that differ.

    A seed's slope is formed within its runs: each has its own mean, and only what deviates from it counts. So a rule
    that rejects more clients where alpha is low has no slope for that alone. Every client counts once.
    """
    sums: dict[int, list[float]] = {}
    behind: dict[int, list[str]] = {}
    for run in runs:
        x = np.array([one.unusualness for one in run.clients])
        y = np.array([100 * one.down_weighted for one in run.clients])
        if len(x) < 2 or np.ptp(x) == 0:
            continue
        x = (x - x.mean()) / STEP
        pair = sums.setdefault(run.seed, [0.0, 0.0])
        pair[0] += float(x @ (y - y.mean()))
        pair[1] += float(x @ x)
        behind.setdefault(run.seed, []).append(run.name)
    if not sums:
        return None
    numbers = {seed: xy / xx for seed, (xy, xx) in sums.items()}
    names = tuple(name for seed in sorted(behind) for name in behind[seed])
    return Slope(**tested(numbers, 100.0, names))
