"""Tests claims on the data of a study: effect, interval and verdict (docs/statistics.md, "Verdicts")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from fedskew.analysis.claims.explain import caution, exceptions, why, worst
from fedskew.analysis.claims.judgement import LEVEL, Judgement, Place, Verdict
from fedskew.analysis.claims.places import conclude, depends, place_of, places_of, sizes_over, worst_in
from fedskew.analysis.claims.words import what_is_tested
from fedskew.analysis.contrasts import Contrast, PerSeed, per_seed, scale_of
from fedskew.analysis.estimates import estimate, in_table_units
from fedskew.analysis.significance import holm, holm_corrected, sign_flip, student
from fedskew.analysis.trends import per_step
from fedskew.evaluation.metric_table import meaning
from fedskew.study.claim import Claim
from fedskew.study.grid import Study


def judge(study: Study, results: pd.DataFrame, claims: Sequence[Claim] | None = None) -> list[Judgement]:
    """A verdict on each claim, corrected for the number of claims.

    A claim *holds* if the effect lies on the claimed side of the threshold and the t-test's corrected p-value is
    below 0.05, *does not hold* if it lies on the other side with such a p-value, and is otherwise *not decided*.
    The test is two-sided because both answers are possible.

    Args:
        claims: judged together; None: the study's own. Those of a paper come from ``papers.claims_of``.
    """
    family = list(study.claims if claims is None else claims)
    values = [_values(results, claim) for claim in family]
    effects = [
        per_seed(
            results, study, numbers, Contrast(claim.pair, claim.over, claim.where, worst_in(study, claim))
        )
        for claim, numbers in zip(family, values, strict=True)
    ]
    tested = holm([_tested(study, claim, effect) for claim, effect in zip(family, effects, strict=True)])
    exact = holm_corrected([judgement.exact_p for judgement in tested])
    judged = sum(not math.isnan(judgement.p_value) for judgement in tested)
    places = [
        places_of(study, results, numbers, claim) for claim, numbers in zip(family, values, strict=True)
    ]
    corrected = iter(holm([place for some in places for place in some]))
    sizes = sizes_over(study, results, family, values)
    return [
        _concluded(
            replace(judgement, size=size),
            effect,
            judged,
            p,
            [conclude(claim, next(corrected)) for _ in some],
        )
        for claim, judgement, effect, p, some, size in zip(
            family, tested, effects, exact, places, sizes, strict=True
        )
    ]


def _values(results: pd.DataFrame, claim: Claim) -> pd.Series[float]:
    """What the claim is about, one number per run, in the unit of the tables."""
    values = in_table_units(results, claim.metric)
    if claim.faster_than is not None:
        # Where the claimed directions are opposite, faster than the other falls means: the sum of both
        # logarithms rises; where they are the same, the difference does.
        alike = 1 if (claim.side > 0) == (claim.faster_than.direction == "rises") else -1
        other = in_table_units(results, claim.faster_than.metric)
        values = 100 * (_log(values) - alike * _log(other))
    return values


def _log(values: pd.Series[float]) -> pd.Series[float]:
    """Natural logarithm; NaN where there is none, so that the run counts as missing."""
    return pd.Series(np.log(values.where(values > 0)), index=values.index)


def _tested(study: Study, claim: Claim, effect: PerSeed | None) -> Judgement:
    """The effect with its interval and tests, not concluded yet."""
    values = list(effect.values.values()) if effect else []
    found = estimate(values)
    from_threshold = [value - claim.threshold for value in values]
    flips = sign_flip(from_threshold)
    unit = "percent (relative)" if claim.faster_than else meaning(claim.metric).of_a_difference
    scale = scale_of(study, claim.over) if claim.over else None
    return Judgement(
        claim=claim,
        tested=what_is_tested(study, claim),
        effect=found.mean,
        low=found.low,
        high=found.high,
        unit=per_step(unit, scale.step) if scale else unit,
        n=found.n,
        p_value=student(from_threshold),
        exact_p=flips.p_value,
        smallest_p=flips.smallest,
        verdict="not decided",
        why="",
        runs=effect.runs if effect else (),
    )


def _concluded(
    judgement: Judgement, effect: PerSeed | None, judged: int, exact: float, places: list[Place]
) -> Judgement:
    """The judgement with its verdict and its words.

    Args:
        judged: the number of claims it was corrected for.
        exact: its sign-flip p-value, corrected for the same number.
    """
    claim = judgement.claim
    verdict: Verdict = "not decided"
    if judgement.p_holm < LEVEL:
        verdict = "holds" if judgement.above == (claim.side > 0) else "does not hold"
    whole = place_of(claim, "", None, effect) if effect else None
    where = depends(places, whole, verdict, varies=bool(judgement.size))
    decided = replace(judgement, verdict="depends" if where else verdict, depends=where, places=tuple(places))
    against, opposed = exceptions(decided, effect)
    return replace(
        decided,
        why=why(decided, judged, effect),
        caution=caution(decided, judged, exact, effect),
        exceptions=against,
        opposed=opposed,
        worst=worst(decided, effect),
    )
