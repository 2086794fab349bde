"""A claim and the verdict that a study's data gives on it, as a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fedskew.study.claim import Claim

LEVEL = 0.05
"""The chance, at most, that any of the claims judged together gets a wrong verdict on its mean; the verdicts at all
their places are a second family with the same chance."""

MATTERS = 10.0
"""How far two groups of seeds must lie from each other, in percentage points, to be taken for two."""

Verdict: TypeAlias = Literal["holds", "does not hold", "depends", "not decided"]
PlaceVerdict: TypeAlias = Literal["holds", "does not hold", "in some seeds", "not decided"]


@dataclass(frozen=True)
class Place:
    """A claim's effect at one label of the axis from left to right.

    Attributes:
        effect, low, high, n: as in ``Judgement``; for a claim about a slope, what the slope is formed of.
        p_value: t-test of the effect against the claim's threshold; NaN where nothing is tested.
        p_holm: corrected for all places of all claims judged together.
        claimed, of: single comparisons on the claimed side of the threshold, and all of them.
        torn: whether seeds lie in two groups with the threshold between them, so that their mean describes neither.
        verdict: None for a claim about a slope.
    """

    axis: str
    label: Any
    effect: float
    low: float
    high: float
    n: int
    p_value: float
    threshold: float
    claimed: int
    of: int
    torn: bool
    p_holm: float = float("nan")
    verdict: PlaceVerdict | None = None

    @property
    def above(self) -> bool:
        """Whether the effect lies above the claim's threshold."""
        return self.effect > self.threshold

    @property
    def some(self) -> str:
        """On the claimed side, e.g. "6 of 8 seeds"."""
        return f"{self.claimed} of {self.of} {'seeds' if self.of == self.n else 'single comparisons'}"


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
        opposed: (single comparisons, or seeds of a slope, that ``exceptions`` is about, all).
        exceptions: the single seeds in which the effect lies on the other side; "" if there are none.
        places: the effect at each label of the axis from left to right; empty where the claim leaves none open.
        worst: the single seed that is farthest from the claim, with its cell and number; "" without runs.
        size: how a difference changes over that axis, in one sentence; "" where no change is shown.
        depends: where the claim holds and where it does not, if the verdict is "depends"; else "".
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
    opposed: tuple[int, int] = (0, 0)
    places: tuple[Place, ...] = ()
    worst: str = ""
    depends: str = ""
    size: str = ""
    p_holm: float = float("nan")

    @property
    def above(self) -> bool:
        """Whether the effect lies above the claim's threshold."""
        return self.effect > self.claim.threshold

    @property
    def places_apart(self) -> tuple[Place, ...]:
        """The places that have another verdict of their own."""
        return tuple(place for place in self.places if place.verdict not in (None, self.verdict))
