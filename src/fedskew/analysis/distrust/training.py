"""Reasons to distrust that lie in the training: runs that diverged, updates that were not finite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fedskew.analysis.distrust.reasons import Finished, Reason, listed, names, placed
from fedskew.analysis.distrust.roles import unattacked
from fedskew.components.known import is_attacked
from fedskew.runs.diverged import all_rejected, diverged
from fedskew.wording import count

DIVERGED = "diverged"
"""The code of the reason that a run diverged."""
MANY_REJECTED = 0.01
"""The share of rejected updates from which on it is serious."""


def how_diverged(run: Finished) -> str:
    """How a run diverged, in words; empty if it did not."""
    lost = [record for record in run.records if all_rejected(record)]
    if lost:
        where = f"{len(lost)} of {count(len(run.records), 'round')}"
        return f"every update was rejected as not finite in {where}, which left the model as it was"
    return diverged(run.records[-1]) if run.records else ""


def diverged_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Runs whose training diverged."""
    distinct = {run.name: run for run in runs}.values()
    every = [(run, why) for run in distinct if (why := how_diverged(run))]
    broken = {run.name for run, _ in every}
    fine = {
        unattacked(run.experiment)
        for run in distinct
        if not is_attacked(run.experiment) and run.name not in broken
    }
    attacked = [
        (run, why) for run, why in every if is_attacked(run.experiment) and unattacked(run.experiment) in fine
    ]
    found = [one for one in every if one not in attacked]
    if attacked:
        yield Reason(
            DIVERGED,
            "caution",
            f"{count(len(attacked), 'run')} diverged under an attack, and did not without it: that is what the attack "
            f"did, but their losses say no more than that: {placed(attacked)}",
            names(run for run, _ in attacked),
        )
    if found:
        yield Reason(
            DIVERGED,
            "serious",
            f"{count(len(found), 'run')} diverged, whose numbers are not those of a trained model: {placed(found)}",
            names(run for run, _ in found),
        )


def rejected_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Clients whose updates were not finite."""
    distinct = list({run.name: run for run in runs}.values())
    hit = [run for run in distinct if any(record.rejected for record in run.records)]
    if not hit:
        return
    rejected = sum(len(record.rejected) for run in hit for record in run.records)
    rounds = sum(bool(record.rejected) for run in hit for record in run.records)
    sent = sum(len(record.cohort) - len(record.empty) for run in hit for record in run.records)
    yield Reason(
        "rejected-updates",
        "serious" if rejected > MANY_REJECTED * sent else "caution",
        f"{rejected} of {count(sent, 'update')} in {count(len(hit), 'run')} were not finite and left out, in "
        f"{count(rounds, 'round')}: {listed([run.plan.title for run in hit])}",
        names(hit),
    )
