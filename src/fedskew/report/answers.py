"""The answers of an audit, each in a line: what the defence costs, what it protects, what leaks in spite of it, and how
much depends on how the data is spread. Their words are made from the verdicts on the audit's claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedskew.analysis import Judgement
from fedskew.analysis.contrasts import is_concentration
from fedskew.analysis.scorecard import extreme_spreads, spread_axis
from fedskew.evaluation.leakage_table import leakage_row
from fedskew.evaluation.metric_table import meaning
from fedskew.report.words import apart_words, effect_words
from fedskew.study.audit import Audit
from fedskew.study.claim import Claim
from fedskew.study.grid import Study

COST, PROTECTION, LEAKS, SPREAD = (
    "Cost without an attack",
    "Protection under the worst attack",
    "What leaks",
    "Dependence on the spread of the data",
)
"""The questions, in their order."""


def answers(
    study: Study, judgements: Sequence[Judgement], late: Mapping[int, str]
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The questions that the claims of an audit of one defence answer -> the answer, and the numbers of its claims.

    Args:
        late: number of a claim -> how it was added or changed after results were there, in words.
    """
    audit = study.audit
    if audit is None or not audit.defence:
        return {}
    found: dict[str, list[int]] = {COST: [], PROTECTION: [], LEAKS: [], SPREAD: []}
    for number, one in enumerate(judgements):
        question = _question(study, audit, one.claim)
        if question is not None:
            found[question].append(number)
    return {
        question: (
            "; ".join(_answer(study, audit, judgements[number], late.get(number, "")) for number in numbers)
            + ".",
            tuple(numbers),
        )
        for question, numbers in found.items()
        if numbers
    }


def _question(study: Study, audit: Audit, claim: Claim) -> str | None:
    """Which question a claim is about; None for another claim."""
    compared = claim.compare == {audit.defences: (audit.undefended, audit.defence)}
    if compared and claim.over is None:
        if claim.where == {audit.attacks: audit.no_attack} and claim.worst_of is None:
            return COST if leakage_row(claim.metric) is None else LEAKS
        if not claim.where and claim.worst_of == audit.attacks:
            return PROTECTION
    if claim.where == {audit.defences: audit.defence} and claim.worst_of == audit.attacks:
        over, axis = claim.compare is None and claim.over, spread_axis(study, audit)
        return SPREAD if axis is not None and (over == axis or _is_of_spread(study, audit, claim)) else None
    return None


def _is_of_spread(study: Study, audit: Audit, claim: Claim) -> bool:
    """Whether a claim compares the most uneven spread of the data with the most even one."""
    axis = spread_axis(study, audit)
    return (
        axis is not None and claim.over is None and claim.compare == {axis: (*extreme_spreads(study, audit),)}
    )


def _answer(study: Study, audit: Audit, one: Judgement, late: str) -> str:
    """What the verdict on a claim means, with the effect, and with the places where these have another verdict."""
    claimed, opposite = _meanings(study, audit, one.claim)
    words = {
        "holds": claimed,
        "does not hold": opposite,
        "not decided": f"not decided whether {claimed}",
        "depends": f"that {claimed} {one.depends}",
    }[one.verdict]
    return f"{words} ({'; '.join(filter(None, [effect_words(one), apart_words(one), late]))})"


def _meanings(study: Study, audit: Audit, claim: Claim) -> tuple[str, str]:
    """What a claim says of the defence, and what is so where the effect lies on the other side."""
    label, margin = meaning(claim.metric).label, f"{claim.margin:g} points"
    of_spread = _is_of_spread(study, audit, claim)
    under = f" under the worst {claim.worst_of}" if claim.worst_of and (claim.over or of_spread) else ""
    if claim.direction.startswith("does not"):
        verb = "costs" if claim.side > 0 else "adds"
        return f"it {verb} at most {margin} of {label}", f"it {verb} more than {margin} of {label}"
    higher, lower = ("higher", "lower") if claim.side > 0 else ("lower", "higher")
    than = f"than with {audit.undefended}"
    if of_spread:
        even, given = extreme_spreads(study, audit)
        than = f"with {spread_axis(study, audit)} {given} than with {even}"
    if claim.over is not None:
        falls = is_concentration(study, claim.over)
        than = "the more unevenly the data is spread" if falls else f"the larger {claim.over} is"
    if claim.margin:
        more = f"{higher} {than} by more than {margin}"
        return f"the {label}{under} is {more}", f"the {label}{under} is not {more}"
    return f"the {label}{under} is {higher} {than}", f"the {label}{under} is {lower} {than}"
