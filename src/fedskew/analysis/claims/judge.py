"""Claims against the data: effect, interval and verdict (docs/statistics.md, "Verdicts")."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from fedskew.analysis.claims.words import what_is_tested
from fedskew.analysis.contrasts import Contrast, PerSeed, per_seed, scale_of
from fedskew.analysis.differences import unit_of
from fedskew.analysis.estimates import estimate, in_table_units
from fedskew.analysis.significance import holm, holm_corrected, sign_flip, student
from fedskew.analysis.trends import per_step
from fedskew.study.claim import Claim
from fedskew.study.grid import Study
from fedskew.wording import cell_in_words, count

LEVEL = 0.05
"""Of the chance that any of the claims judged together gets a wrong verdict."""
FEWEST = 3
"""Seeds below which nothing is decided: two have a spread by one difference only."""

Verdict: TypeAlias = Literal["holds", "does not hold", "not decided"]


@dataclass(frozen=True)
class Judgement:
    """A claim and what this study says of it.

    Attributes:
        tested: what was held against the data, in words made from the claim's fields, so that nobody need believe its
            ``text``.
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
    p_holm: float = float("nan")


def judge(study: Study, results: pd.DataFrame, claims: Sequence[Claim] | None = None) -> list[Judgement]:
    """A verdict on each claim, corrected for the number of claims.

    A claim *holds* if the effect lies on the claimed side of the threshold and the t-test's corrected p-value is
    below 0.05, *does not hold* if it lies so on the other side, and is else *not decided*. The test is two-sided
    because both answers are possible.

    Args:
        claims: judged together; None: the study's own. Those of a paper come from ``papers.claims_of``.
    """
    family = list(study.claims if claims is None else claims)
    effects = [_effect(study, results, claim) for claim in family]
    tested = holm([_tested(study, claim, effect) for claim, effect in zip(family, effects, strict=True)])
    exact = holm_corrected([judgement.exact_p for judgement in tested])
    judged = sum(not math.isnan(judgement.p_value) for judgement in tested)
    return [
        _concluded(judgement, effect, judged, p)
        for judgement, effect, p in zip(tested, effects, exact, strict=True)
    ]


def _effect(study: Study, results: pd.DataFrame, claim: Claim) -> PerSeed | None:
    """The claim's effect in each seed; None if no seed has the runs for it."""
    compare = None
    if claim.compare is not None:
        ((axis, (first, second)),) = claim.compare.items()
        compare = (axis, first, second)
    values = in_table_units(results, claim.metric)
    if claim.faster_than is not None:
        # Where the claimed directions are opposite, faster than the other falls means: the sum of both
        # logarithms rises; where they are the same, the difference does.
        alike = 1 if (claim.side > 0) == (claim.faster_than.direction == "rises") else -1
        other = in_table_units(results, claim.faster_than.metric)
        values = 100 * (_log(values) - alike * _log(other))
    return per_seed(results, study, values, Contrast(compare, claim.over, claim.where))


def _log(values: pd.Series[float]) -> pd.Series[float]:
    """Natural logarithm; NaN where there is none, so that the run counts as missing."""
    return pd.Series(np.log(values.where(values > 0)), index=values.index)


def _tested(study: Study, claim: Claim, effect: PerSeed | None) -> Judgement:
    """The effect with its interval and tests, not concluded yet."""
    values = list(effect.values.values()) if effect else []
    found = estimate(values)
    from_threshold = [value - claim.threshold for value in values]
    flips = sign_flip(from_threshold)
    unit = "percent (relative)" if claim.faster_than else unit_of(claim.metric)
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


def _concluded(judgement: Judgement, effect: PerSeed | None, judged: int, exact: float) -> Judgement:
    """The judgement with its verdict and its words.

    Args:
        judged: the number of claims it was corrected for.
        exact: its sign-flip p-value, corrected for the same number.
    """
    verdict: Verdict = "not decided"
    if judgement.n >= FEWEST and judgement.p_holm < LEVEL:
        above = judgement.effect > judgement.claim.threshold
        verdict = "holds" if above == (judgement.claim.side > 0) else "does not hold"
    judgement = replace(judgement, verdict=verdict)
    cautions = [_small_sample(judgement, judged, exact)]
    if effect and effect.left_out:
        cautions.append(
            f"left out, because some of their runs are missing or have no such number: {_seeds(effect.left_out)}"
        )
    if effect and effect.cells_left_out:
        cautions.append(f"left out, because too few seeds have it: {'; '.join(effect.cells_left_out)}")
    if effect and (against := _against(judgement, effect)):
        cautions.append(against)
    return replace(judgement, why=_why(judgement, judged, effect), caution="; ".join(filter(None, cautions)))


def _against(judgement: Judgement, effect: PerSeed) -> str:
    """The cells, of those that the effect is a mean of, in which it lies on the other side."""
    above = judgement.effect > judgement.claim.threshold
    others = {cell: x for cell, x in effect.cells.items() if (x > judgement.claim.threshold) != above}
    if judgement.verdict == "not decided" or not others:
        return ""
    return "it is a mean, and goes the other way in " + _cells(others)


def _cells(means: Mapping[str, float]) -> str:
    return "; ".join(f"{cell} ({mean:+.2f})" for cell, mean in means.items())


def _small_sample(judgement: Judgement, judged: int, exact: float) -> str:
    """How little so many seeds can show, and what the verdict rests on."""
    n = judgement.n
    if n == 0:
        return ""
    if n < FEWEST:
        return f"with {count(n, 'seed')} nothing is decided, whatever the numbers say"
    same = judgement.low == judgement.high
    if same and judgement.smallest_p * judged >= LEVEL:
        return (
            "all seeds give the same number, which leaves the t-test no spread to compare it with; the sign-flip "
            f"test cannot give less than {_least(judgement, judged)} with {n} seeds"
        )
    if judgement.verdict == "not decided" and judgement.p_value < LEVEL:
        claim, above = judgement.claim, judgement.effect > judgement.claim.threshold
        alone = "hold" if above == (claim.side > 0) else "not hold"
        return (
            f"by itself it would {alone} (p = {_p(judgement.p_value)}): the interval, which is of this claim alone, "
            f"lies {'above' if above else 'below'} {claim.threshold + 0.0:g}; of {judged} claims judged together one "
            f"may look so by chance, and corrected for that it is not decided (p = {_p(judgement.p_holm)})"
        )
    if judgement.verdict == "not decided":
        return "not decided is not the same as no effect: the interval says which effects remain possible"
    if judgement.smallest_p * judged >= LEVEL:
        return (
            "it rests on the assumption that the effect is normally distributed over seeds: the sign-flip test, "
            f"which does not assume it, cannot give less than {_least(judgement, judged)} with {n} seeds"
        )
    if exact >= LEVEL:
        return (
            f"the sign-flip test, which assumes no normal distribution, does not confirm it: p = "
            f"{_p(judgement.exact_p)}, corrected {_p(exact)}"
        )
    return ""


def _least(judgement: Judgement, judged: int) -> str:
    """The smallest p-value that the sign-flip test can give, before and after the correction."""
    corrected = f", {_p(min(1.0, judgement.smallest_p * judged))} corrected" if judged > 1 else ""
    return f"p = {_p(judgement.smallest_p)}{corrected}"


def _why(judgement: Judgement, judged: int, effect: PerSeed | None) -> str:
    """The numbers in one sentence."""
    claim, n = judgement.claim, judgement.n
    subject = claim.metric.replace("_", " ")
    if claim.faster_than:
        subject = f"the rate of {subject} beyond that of {claim.faster_than.metric.replace('_', ' ')}"
    if claim.compare:
        ((axis, (first, second)),) = claim.compare.items()
        subject += f", {axis} {second} minus {first}"
    if claim.where:
        subject += ", " + cell_in_words(claim.where)
    if n == 0:
        return f"{subject}: no seed has complete runs for it"
    numbers = f"{subject}: {judgement.effect:+.2f} {judgement.unit}".rstrip()
    if claim.margin:
        numbers += f", claimed to be {'above' if claim.side > 0 else 'below'} {claim.threshold:+g}"
    if n == 1:
        return f"{numbers} (one seed)"
    corrected = f", {_p(judgement.p_holm)} corrected for {judged} claims" if judged > 1 else ""
    if effect and effect.cells:
        numbers += f", the mean of {_cells(effect.cells)}"
    return (
        f"{numbers} (95 % interval {judgement.low:+.2f} to {judgement.high:+.2f}, {n} seeds; "
        f"p = {_p(judgement.p_value)}{corrected})"
    )


def _p(value: float) -> str:
    """A p-value with two significant digits."""
    return f"{value:.2g}" if value >= 1e-4 else "0.0001 or less"


def _seeds(numbers: Sequence[int]) -> str:
    return f"{'seed' if len(numbers) == 1 else 'seeds'} {', '.join(map(str, numbers))}"
