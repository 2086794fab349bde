"""A claim and the verdict that a study's data gives on it, as a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fedskew.study.claim import Claim

LEVEL = 0.05
"""The chance, at most, that any of the claims judged together gets a wrong verdict."""

Verdict: TypeAlias = Literal["holds", "does not hold", "not decided"]


@dataclass(frozen=True)
class Judgement:
    """A claim and what this study says of it.

    Attributes:
        tested: what was tested, in words made from the claim's fields and not from its ``text``.
        effect, low, high: mean over seeds with its 95 % interval, in ``unit``.
        n: seeds.
        p_value: two-sided t-test of the effect against the claim's threshold (0 without a margin).
        p_holm: the same, corrected for all claims judged together (Holm 1979).
        exact_p, smallest_p: the sign-flip test, and the smallest p-value that so many seeds can give.
        why: one sentence with the numbers.
        runs: the run folders that it comes from.
        exceptions: the single seeds in which the effect lies on the other side; "" if there are none.
        caution: what limits the verdict, e.g. few seeds or missing runs; "" if nothing does.
    """

    claim: Claim
    tested: str
    effect: float
    low: float
    high: float
    unit: str
    n: int
    p_value: float
    exact_p: float
    smallest_p: float
    verdict: Verdict
    why: str
    runs: tuple[str, ...]
    caution: str = ""
    exceptions: str = ""
    p_holm: float = float("nan")

    @property
    def above(self) -> bool:
        """Whether the effect lies above the claim's threshold."""
        return self.effect > self.claim.threshold
