"""Whether a few numbers lie in two groups, so that their mean is a number that none of them is near.

The statistic is the share of the sum of squares that the best cut into two groups explains, R^2 = 1 - W / T. Numbers
are taken to lie in two groups where normally distributed ones have so large a share in fewer than one sample of a
thousand, and where it matters: the groups' means lie at least ``apart`` from each other.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST = 4
"""Numbers below which nothing is said: two groups of three are one number and a pair."""
RARE = 0.001
"""The share of normal samples that are taken for two groups."""
DRAWS = 100_000
LARGEST = 50
"""Numbers beyond which the bound of so many is used; it falls as they grow in number, so this is on the safe side."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """Two groups of numbers, by their places in the list that was given, and the mean of each.

    Attributes:
        few, many: the smaller group and the larger one (of groups of the same size, the lower one is ``few``).
    """

    few: tuple[int, ...]
    many: tuple[int, ...]
    few_mean: float
    many_mean: float


def two_groups(values: Sequence[float], apart: float | None = None) -> Groups | None:
    """The two groups in which the numbers lie; None if they may as well be one.

    Args:
        values: [n]; nothing is said where one is not finite.
        apart: how far the means of the groups must lie from each other, in the unit of the values; None for a tenth of
            the largest absolute value.
    """
    given = np.asarray(values, dtype=np.float64)
    n = len(given)
    if n < FEWEST or not np.isfinite(given).all() or np.ptp(given) == 0:
        return None
    apart = 0.1 * float(np.abs(given).max()) if apart is None else apart
    order = np.argsort(given, kind="stable")
    shares = _shares(given[order][None])[0]
    cut = int(shares.argmax()) + 1
    if not shares[cut - 1] > _bound(min(n, LARGEST)):
        return None
    groups = sorted((order[:cut], order[cut:]), key=len)
    means = [float(given[group].mean()) for group in groups]
    if abs(means[0] - means[1]) < apart:
        return None
    few, many = (tuple(sorted(map(int, group))) for group in groups)
    return Groups(few, many, *means)


def _shares(ordered: Values) -> Values:
    """[samples, n - 1]: R^2 of each cut of samples [samples, n] whose numbers ascend."""
    n = ordered.shape[1]
    centred = ordered - ordered.mean(axis=1, keepdims=True)
    below = np.cumsum(centred, axis=1)[:, :-1]
    sizes = np.arange(1, n)
    shares: Values = below**2 * n / (sizes * (n - sizes)) / (centred**2).sum(axis=1, keepdims=True)
    return shares


@functools.cache
def _bound(n: int) -> float:
    """What R^2 of n normal numbers exceeds in ``RARE`` of the samples; the draws are always the same."""
    normal = np.sort(np.random.default_rng(0).standard_normal((DRAWS, n)), axis=1)
    return float(np.quantile(_shares(normal).max(axis=1), 1 - RARE))
