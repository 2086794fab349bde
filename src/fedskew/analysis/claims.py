"""Claims against the data: effect, interval and verdict (docs/statistics.md, "Verdicts")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pandas as pd

from fedskew.claim import Claim
from fedskew.study import Study

Verdict: TypeAlias = Literal["holds", "does not hold", "not decided"]


@dataclass(frozen=True)
class Judgement:
    """A claim and what this study says of it.

    Attributes:
        effect, low, high: mean over seeds with its 95 % interval, in ``unit``.
        n: seeds.
        p_value: two-sided t-test of the effect against the claim's threshold (0 without a margin).
        p_holm: the same, corrected for all claims judged together (Holm 1979).
        exact_p, smallest_p: the sign-flip test, and the least that so many seeds can give.
        why: one sentence with the numbers.
        runs: the run folders behind it.
        caution: "", or how little so many seeds can show and what the verdict rests on.
    """

    claim: Claim
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
    p_holm: float = float("nan")


def judge(study: Study, results: pd.DataFrame, claims: Sequence[Claim] | None = None) -> list[Judgement]:
    """A verdict on each claim, corrected for the number of claims.

    Args:
        claims: judged together; None: the study's own, then the paper's that this study has the settings for.
    """
    raise NotImplementedError
