"""Reasons to distrust means and verdicts: seeds that do not agree, claims that were stated after results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from fedskew.analysis.claims.judgement import MATTERS, Judgement
from fedskew.analysis.distrust.course import WATCHED
from fedskew.analysis.distrust.reasons import Finished, Reason, Severity, by_cell, listed, names
from fedskew.analysis.groups import two_groups
from fedskew.evaluation.metric_table import meaning
from fedskew.study.claim import Claim
from fedskew.study.stated import afterthoughts
from fedskew.wording import count

_GROUPS: dict[bool, tuple[str, Severity, str]] = {
    True: (
        "two-groups",
        "serious",
        "seeds fall into two groups, so that a mean and its interval describe neither of them",
    ),
    False: (
        "seeds-far-apart",
        "caution",
        "seeds lie far apart, perhaps in two groups, so that a mean may describe none of them",
    ),
}
"""Whether they do so on the arcsine scale too -> code, severity and words."""


def seed_reasons(runs: Sequence[Finished], judgements: Sequence[Judgement]) -> Iterator[Reason]:
    """Cells whose seeds fall into two groups; decided claims that single seeds speak against."""
    yield from _groups(runs, list(dict.fromkeys([*WATCHED, *(one.claim.metric for one in judgements)])))
    # A verdict that depends on the place may have most comparisons on the other side, which it says itself.
    against = [one for one in judgements if 0 < one.opposed[0] <= one.opposed[1] / 2]
    if against:
        verdicts = [f"{one.claim.text} ({one.opposed[0]} of {one.opposed[1]} comparisons)" for one in against]
        yield Reason(
            "opposite-pairs",
            "caution",
            f"single seeds speak against {count(len(against), 'verdict')}: {listed(verdicts)}",
            tuple(dict.fromkeys(run for one in against for run in one.runs)),
        )


def _groups(runs: Sequence[Finished], metrics: Sequence[str]) -> Iterator[Reason]:
    """Cells whose seeds fall into two groups: serious where shares do so on a scale on which those near 0 and 1 are not
    skewed too, else a caution."""
    found: dict[bool, list[tuple[str, str, list[Finished]]]] = {True: [], False: []}
    for cell, group in by_cell(runs).items():
        for metric in metrics:
            about = meaning(metric)
            known = [run for run in group if not math.isnan(run.metric(metric))]
            values = [run.metric(metric) for run in known]
            groups = two_groups(
                [about.scale * value for value in values], MATTERS if about.is_share else None
            )
            if groups is None:
                continue
            sure = not about.is_share or two_groups(list(map(_angle, values)), 0.0) is not None
            seeds = ", ".join(str(known[place].plan.seed) for place in groups.few)
            words = (
                f"{cell}: {about.label} {groups.few_mean:.2f}{about.suffix} in {count(len(groups.few), 'seed')} "
                f"({seeds}), {groups.many_mean:.2f}{about.suffix} in the other {len(groups.many)}"
            )
            found[sure].append((words, metric, group))
    for sure, (code, severity, text) in _GROUPS.items():
        if found[sure]:
            yield Reason(
                code,
                severity,
                f"{text}: {listed([words for words, _, _ in found[sure]])}",
                names(run for _, _, group in found[sure] for run in group),
                tuple(dict.fromkeys(metric for _, metric, _ in found[sure])),
            )


def _angle(share: float) -> float:
    """A share on the arcsine scale, on which the spread of one near 0 or 1 is not smaller than that of others."""
    return math.asin(math.sqrt(min(max(share, 0.0), 1.0)))


def claim_reasons(folder: Path, claims: Sequence[Claim]) -> Iterator[Reason]:
    """Claims of the study that were added, changed or taken back when results were there."""
    late, gone = afterthoughts(folder, claims)
    if late:
        words = [f"{claims[number].text} ({what})" for number, what in late.items()]
        yield Reason(
            "late-claims",
            "caution",
            f"{count(len(late), 'claim')} may have been made to fit the results: {listed(words)}",
        )
    if gone:
        yield Reason(
            "withdrawn-claims",
            "caution",
            f"the study no longer states {count(len(gone), 'claim')} that it stated before: {listed(gone)}",
        )
