"""Student's t-test, the exact sign-flip test and Holm's correction, for one number per seed (docs/statistics.md).

Student (1908) assumes that the numbers are normally distributed over seeds. The sign-flip test (Fisher 1935,
section 21) assumes only that without an effect a number and its negative are equally likely, and counts over all
2^n sign vectors how often the mean would be as far from zero as it is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

# scipy.special and not scipy.stats: the same functions, without the second that its import takes.
from scipy.special import stdtr, stdtrit

FEWEST = 3
"""Seeds below which nothing is tested or decided: the spread of two is a single difference."""
EXACT_UP_TO = 20
"""Seeds up to which all sign vectors are counted; beyond, ``DRAWS`` are drawn."""
DRAWS = 99_999

Values = npt.NDArray[np.float64]


class Tested(Protocol):
    """What ``holm`` corrects: a frozen dataclass with a p-value and a place for the corrected one."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def p_value(self) -> float:
        """Before the correction; NaN where there was nothing to test."""

    @property
    def p_holm(self) -> float:
        """After it."""


T = TypeVar("T", bound=Tested)


@dataclass(frozen=True)
class SignFlip:
    """A sign-flip test: its p-value, the smallest that so many values can give, and whether it was sampled."""

    p_value: float
    smallest: float
    monte_carlo: bool = False


def sign_flip(values: Sequence[float] | Values) -> SignFlip:
    """Two-sided test that the values lie symmetrically around zero, [n]; NaN for none.

    All 2^n sign vectors up to n = 20. Beyond, p = (1 + how many of ``DRAWS`` random ones are as extreme) /
    (1 + DRAWS), which never claims more than it has seen (Phipson & Smyth 2010); the draws are always the same.
    """
    given = np.asarray(values, dtype=np.float64)
    if not len(given):
        return SignFlip(math.nan, math.nan)
    # Sums that are equal on paper must count as equal, in whichever order they were added.
    bound = abs(given.sum()) - 1e-9 * np.abs(given).sum()
    if len(given) > EXACT_UP_TO:
        count = int((np.abs(_drawn_signs(len(given)) @ given) >= bound).sum())
        return SignFlip((1 + count) / (1 + DRAWS), 1 / (1 + DRAWS), monte_carlo=True)
    sums: Values = np.zeros(1)
    for value in given:
        sums = np.concatenate([sums + value, sums - value])
    return SignFlip(float((np.abs(sums) >= bound).mean()), 2.0 ** (1 - len(given)))


@functools.lru_cache(maxsize=1)
def _drawn_signs(count: int) -> Values:
    """[DRAWS, count] of -1 and 1, kept for the next test: a study has thousands with the same number of seeds, and to
    draw them takes ten times as long as to use them."""
    signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(DRAWS, count))
    signs.flags.writeable = False
    return signs


def student(values: Sequence[float]) -> float:
    """Two-sided p-value of Student's t-test that the mean is zero; NaN for fewer than ``FEWEST`` values.

    Values that are all the same have no spread to compare their mean with; the p-value of
    the sign-flip test, which needs none, is given instead.
    """
    given = np.asarray(values, dtype=np.float64)
    n = len(given)
    if n < FEWEST:
        return math.nan
    error = given.std(ddof=1) / math.sqrt(n)
    if np.ptp(given) == 0 or error == 0:
        return sign_flip(given.tolist()).p_value
    t = given.mean() / error
    return float(2 * stdtr(n - 1, -abs(t)))


def student_quantile(n: int, level: float) -> float:
    """How many standard errors Student's interval of n values reaches to either side."""
    return float(stdtrit(n - 1, (1 + level) / 2))


def holm_corrected(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): the i-th smallest of m times m - i + 1, never falling, at most 1.

    NaN stays NaN and does not count towards m.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    corrected, highest = [math.nan] * len(p_values), 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        corrected[index] = highest
    return corrected


def holm(items: Sequence[T]) -> list[T]:
    """The same items with ``p_holm`` set: their p-values corrected for how many there are (Holm 1979)."""
    corrected = holm_corrected([item.p_value for item in items])
    return [replace(item, p_holm=p) for item, p in zip(items, corrected, strict=True)]
