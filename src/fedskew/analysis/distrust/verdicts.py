"""Reasons to distrust means and verdicts: seeds that do not agree, claims that were stated after results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from fedskew.analysis.claims.judgement import MATTERS, Judgement
from fedskew.analysis.distrust.course import WATCHED
from fedskew.analysis.distrust.reasons import Finished, Reason, by_cell, listed, names
from fedskew.analysis.groups import two_groups
from fedskew.evaluation.metric_table import meaning
from fedskew.study.claim import Claim
from fedskew.study.stated import afterthoughts
from fedskew.wording import count


def seed_reasons(runs: Sequence[Finished], judgements: Sequence[Judgement]) -> Iterator[Reason]:
    """Cells whose seeds fall into two groups; decided claims that single seeds speak against."""
    watched = list(dict.fromkeys([*WATCHED, *(one.claim.metric for one in judgements)]))
    found, behind = [], []
    for cell, group in by_cell(runs).items():
        for metric in watched:
            if words := _in_two_groups(group, metric):
                found.append(f"{cell}: {words}")
                behind += group
    if found:
        yield Reason(
            "two-groups",
            "serious",
            "seeds fall into two groups, so that a mean and its interval describe neither of them: "
            + listed(found),
            names(behind),
        )
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


def _in_two_groups(group: Sequence[Finished], metric: str) -> str:
    """Both groups of a cell's seeds in words; "" if they may be one."""
    about = meaning(metric)
    known = [run for run in group if not math.isnan(run.metric(metric))]
    groups = two_groups(
        [about.scale * run.metric(metric) for run in known], MATTERS if about.is_share else 0.0
    )
    if groups is None:
        return ""
    seeds = ", ".join(str(known[place].plan.seed) for place in groups.few)
    few = f"{groups.few_mean:.2f}{about.suffix} in {count(len(groups.few), 'seed')} ({seeds})"
    return f"{about.label} {few}, {groups.many_mean:.2f}{about.suffix} in the other {len(groups.many)}"


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
