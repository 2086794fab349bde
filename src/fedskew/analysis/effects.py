"""The mean of one number per seed, its interval and its tests, whatever the number is (docs/statistics.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedskew.analysis.estimates import estimate
from fedskew.analysis.significance import sign_flip, student


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A mean over seeds that is compared with 0.

    Attributes:
        effect: the mean.
        low, high: Student's 95 % interval; NaN for n < 2.
        n: seeds.
        p_value, exact_p, smallest_p, monte_carlo: as in ``differences.Difference``.
        runs: the run folders that it comes from.
        p_holm: filled by ``holm``.
    """

    effect: float
    low: float
    high: float
    n: int
    p_value: float
    exact_p: float
    smallest_p: float
    monte_carlo: bool
    runs: tuple[str, ...]
    p_holm: float = math.nan


def tested(numbers: Mapping[int, float], size: float, runs: tuple[str, ...]) -> dict[str, Any]:
    """The fields of an ``Effect`` of one finite number per seed.

    Args:
        size: how large the values are that the numbers are differences of. They are rounded to 1e-12 of it: differences
            that are equal on paper differ in their last bits, and a t-test would take that for a spread. 0 leaves them
            as they are, where that was done before (``contrasts.per_seed``).
    """
    step = 1e-12 * size
    values = [round(one / step) * step if step else one for _, one in sorted(numbers.items())]
    found, flips = estimate(values), sign_flip(values)
    return {
        "effect": found.mean,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "p_value": student(values),
        "exact_p": flips.p_value,
        "smallest_p": flips.smallest,
        "monte_carlo": flips.monte_carlo,
        "runs": runs,
    }
