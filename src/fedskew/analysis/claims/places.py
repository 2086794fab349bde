"""A claim looked at point by point: its effect at each label of the axis from left to right (``study.across``).

A mean over that axis can hide that a defence fails at one end of it, and a mean over seeds that it fails in some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from fedskew.analysis.claims.judgement import LEVEL, MATTERS, Place, PlaceVerdict, Verdict
from fedskew.analysis.contrasts import Contrast, PerSeed, per_seed, scale_of
from fedskew.analysis.estimates import estimate
from fedskew.analysis.groups import two_groups
from fedskew.analysis.significance import holm_corrected, student
from fedskew.analysis.trends import per_step
from fedskew.analysis.worst import Worst
from fedskew.evaluation.metric_table import meaning
from fedskew.study.across import axis_across
from fedskew.study.claim import Claim
from fedskew.study.grid import Study


def worst_in(study: Study, claim: Claim) -> Worst | None:
    """Over which axis of a study a claim takes the worst; of an audit's attacks "no attack" is none."""
    if claim.worst_of is None:
        return None
    audit = study.audit
    besides = audit.no_attack if audit is not None and claim.worst_of == audit.attacks else None
    return Worst(claim.worst_of, meaning(claim.metric).better == "lower", besides)


def places_of(study: Study, results: pd.DataFrame, values: pd.Series[float], claim: Claim) -> list[Place]:
    """The claim's effect at each label of the axis from left to right, in the order of the study; nothing where the
    claim fixes or compares that axis. A claim about a slope has no test at one point: what is given there is what the
    slope is formed of.

    Args:
        values: what the claim is about, one per row of ``results``.
    """
    axis = axis_across(study)
    if axis is None or axis in claim.where or axis in (claim.compare or {}) or axis == claim.worst_of:
        return []
    if claim.over not in (None, axis) or claim.faster_than is not None:
        return []
    found = []
    for label, _ in study.axes[axis].points():
        rows = results[results[axis] == label] if axis in results else results
        effect = per_seed(
            rows,
            study,
            values.loc[rows.index],
            Contrast(claim.pair, where=claim.where, worst=worst_in(study, claim)),
        )
        if effect is not None:
            found.append(place_of(claim, axis, label, effect))
    return found if len(found) > 1 else []


def place_of(claim: Claim, axis: str, label: Any, effect: PerSeed) -> Place:
    """The effect of the runs at one label, not concluded yet."""
    numbers = list(effect.values.values())
    found = estimate(numbers)
    singles = effect.singles or {"": effect.values}
    every = [number for by_seed in singles.values() for number in by_seed.values()]
    return Place(
        axis=axis,
        label=label,
        effect=found.mean,
        low=found.low,
        high=found.high,
        n=found.n,
        p_value=math.nan if claim.over else student([number - claim.threshold for number in numbers]),
        threshold=claim.threshold,
        claimed=sum((number > claim.threshold) == (claim.side > 0) for number in every),
        of=len(every),
        torn=any(_torn(claim, list(by_seed.values())) for by_seed in singles.values()),
    )


def _torn(claim: Claim, numbers: Sequence[float]) -> bool:
    """Whether a cell's seeds lie in two groups with the claim's threshold between them."""
    groups = two_groups(
        numbers, MATTERS if meaning(claim.metric).is_share and claim.faster_than is None else None
    )
    return groups is not None and (groups.few_mean > claim.threshold) != (groups.many_mean > claim.threshold)


def conclude(claim: Claim, place: Place) -> Place:
    """A place, whose p-value is corrected, with its verdict; a claim about a slope has none."""
    if claim.over is not None:
        return place
    verdict: PlaceVerdict = "not decided"
    if place.torn:
        verdict = "in some seeds"
    elif place.p_holm < LEVEL:
        verdict = "holds" if place.above == (claim.side > 0) else "does not hold"
    return replace(place, verdict=verdict)


def sizes_over(
    study: Study, results: pd.DataFrame, claims: Sequence[Claim], values: Sequence[pd.Series[float]]
) -> list[str]:
    """For each claim about a difference that leaves the axis from left to right open: how its size changes over it.

    The number per seed is the slope of the difference; its p-value is corrected for all claims that have one. "" where
    it is not below ``LEVEL``.
    """
    axis = axis_across(study)
    scale = scale_of(study, axis) if axis else None
    slopes: list[list[float]] = []
    for claim, numbers in zip(claims, values, strict=True):
        found = None
        if (
            scale
            and claim.pair
            and claim.over is None
            and axis not in (claim.pair[0], claim.worst_of, *claim.where)
        ):
            found = per_seed(
                results, study, numbers, Contrast(claim.pair, axis, claim.where, worst_in(study, claim))
            )
        slopes.append(list(found.values.values()) if found else [])
    tests = [student(some) for some in slopes]
    corrected, many = holm_corrected(tests), sum(not math.isnan(p) for p in tests)
    family = f" corrected for {many} such changes" if many > 1 else ""
    words = []
    for claim, some, p in zip(claims, slopes, corrected, strict=True):
        one, unit, digits = estimate(some), meaning(claim.metric).of_a_difference, claim.digits
        words.append(
            f"the difference changes over {axis}: {one.mean:+.{digits}f} {per_step(unit, scale.step)} (95 % interval "
            f"{one.low:+.{digits}f} to {one.high:+.{digits}f}; p = {p:.2g}{family})"
            if scale and p < LEVEL
            else ""
        )
    return words


def depends(places: Sequence[Place], whole: Place | None, pooled: Verdict, varies: bool) -> str:
    """Where a claim holds and where it does not, e.g. "holds at alpha >= 1, not at 0.3"; "" where one verdict says it.

    One verdict does not say it where it holds at some place and does not hold at another; where seeds are torn; or
    where the effect is shown to vary and a place that is not decided by itself, beside others that are, has its mean or
    single seeds on the other side. That it is decided at one place and not at another is by itself no difference.

    Args:
        whole: all places together; None without runs.
        pooled: the verdict on it.
        varies: whether a test shows that the effect changes over the places.
    """
    if whole is None:
        return ""
    if not places or places[0].verdict is None:
        return f"holds only in {whole.some}" if whole.torn and pooled != "not decided" else ""
    by: dict[PlaceVerdict | None, list[Place]] = {}
    for place in places:
        by.setdefault(place.verdict, []).append(place)
    holds, fails, torn = (by.get(v, []) for v in ("holds", "does not hold", "in some seeds"))
    unknown = by.get("not decided", [])
    decided = bool(holds or fails)
    doubtful = [place for place in unknown if place.above != whole.above or 0 < place.claimed < place.of]
    one_verdict = not (
        (holds and fails)
        or (torn and (decided or pooled != "not decided"))
        or (varies and decided and (doubtful or pooled == "not decided"))
    )
    if one_verdict:
        return ""
    parts = [f"holds at {_labels(holds, places)}"] if holds else []
    if fails:
        parts.append(f"{'not' if holds else 'does not hold'} at {_labels(fails, places, not holds)}")
    for place in torn:
        there = f"at {_labels([place], places, not parts)}"
        parts.append(
            f"not {there} (there only in {place.some})" if holds else f"{there} only in {place.some}"
        )
    if unknown:
        parts.append(f"not decided at {_labels(unknown, places, not parts)}")
    return ", ".join(parts)


def _labels(some: Sequence[Place], places: Sequence[Place], named: bool = True) -> str:
    """The labels of some places, as a range where they are all from one of them on: ``alpha >= 1``, ``alpha 10 and 1``.

    Args:
        named: whether the axis is named too.
    """
    axis, labels = f"{some[0].axis} " if named else "", [place.label for place in some]
    every = [place.label for place in places]
    if len(some) > 1 and all(
        isinstance(label, int | float) and not isinstance(label, bool) for label in every
    ):
        for sign, end, beyond in ((">=", min(labels), max), ("<=", max(labels), min)):
            if {label for label in every if beyond(label, end) == label} == set(labels):
                return f"{axis}{sign} {_number(end)}"
    words = [_number(label) if isinstance(label, float) else str(label) for label in labels]
    return axis + (f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0])


def _number(label: float) -> str:
    """A label as a reader would write it: 1 for 1.0."""
    return str(int(label)) if float(label).is_integer() else repr(label)
