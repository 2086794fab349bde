"""Reasons to distrust a study's numbers, found in its own records.

A result that should be distrusted says so itself (the idea is AutoAttack's flags, Croce & Hein 2020). What is
looked for, and from which threshold on, is in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from fedskew.analysis.claims.judgement import Judgement
from fedskew.analysis.distrust.acted import idle_reasons
from fedskew.analysis.distrust.attack import attack_reasons
from fedskew.analysis.distrust.audit import apart, audit_reasons, graded
from fedskew.analysis.distrust.course import course_reasons
from fedskew.analysis.distrust.defence import defence_reasons
from fedskew.analysis.distrust.incomplete import incomplete_reasons
from fedskew.analysis.distrust.leaks import few_records_reasons, unfound_reasons
from fedskew.analysis.distrust.origin import data_reasons, environment_reasons
from fedskew.analysis.distrust.privacy import privacy_reasons
from fedskew.analysis.distrust.reasons import Finished, Reason, by_cell, listed, names
from fedskew.analysis.distrust.rules import rule_reasons
from fedskew.analysis.distrust.spread import axis_reasons, client_reasons, recorded_spreads
from fedskew.analysis.distrust.training import diverged_reasons, rejected_reasons
from fedskew.analysis.distrust.verdicts import claim_reasons, seed_reasons
from fedskew.analysis.significance import FEWEST, sign_flip
from fedskew.analysis.tables import results_row, results_table
from fedskew.components.completed import Completed
from fedskew.components.known import facts_of, looks_at
from fedskew.errors import RunError
from fedskew.runs.folder import RunFolder
from fedskew.runs.own import read_own_result
from fedskew.study.audit import Audit
from fedskew.study.grid import PlannedRun, Study
from fedskew.wording import count

__all__ = ["Reason", "reasons_of_each", "reasons_of_run", "reasons_to_distrust"]

ENOUGH = 6
"""Seeds from which on the sign-flip test can go below 0.05."""


def reasons_to_distrust(
    study: Study,
    planned: Sequence[PlannedRun],
    folder: Path,
    results: pd.DataFrame,
    judgements: Sequence[Judgement] = (),
) -> list[Reason]:
    """All reasons that a study's records give, the serious ones first.

    Args:
        folder: the study's.
        results: of ``results_table``.
        judgements: the verdicts that the reasons are to stand beside.

    Raises:
        RunError: a run's records are damaged.
    """
    runs = _finished(planned, folder, results)
    found = [
        *incomplete_reasons(planned, folder, {run.name for run in runs}),
        *_of_each(runs, study.audit),
        *attack_reasons(runs, planned),
        *defence_reasons(runs),
        *unfound_reasons(runs),
        *course_reasons(runs),
        *seed_reasons(runs, judgements),
        *claim_reasons(folder, study.claims),
        *audit_reasons(study, runs, results),
        *_seeds(runs),
        *axis_reasons(study, recorded_spreads(runs)),
        *_one_split(runs),
        *_stopping(runs),
        *environment_reasons(runs),
        *data_reasons(runs),
    ]
    return _serious_first(graded(study.audit, runs, found))


def reasons_of_each(planned: Sequence[PlannedRun], folder: Path, audit: Audit | None = None) -> list[Reason]:
    """Those that the records of single runs of a study give, without looking at others; the serious ones first.

    Args:
        audit: what is audited by the study, if it is an audit.

    Raises:
        RunError: a run's records are damaged.
    """
    runs = _finished(planned, folder, results_table(planned, folder))
    return _serious_first(graded(audit, runs, _of_each(runs, audit)))


def reasons_of_run(run: Completed, folder: RunFolder) -> list[Reason]:
    """The same of one complete run, wherever its folder is.

    Raises:
        RunError: its records are damaged, or it is not complete.
    """
    result = read_own_result(folder, run)
    if result is None:
        raise RunError(f"the run in {folder.path} is not complete")
    plan = PlannedRun({}, run.experiment.seed, run)
    return _serious_first(_of_each([Finished(plan, folder, results_row(plan, result))], None))


def _of_each(runs: Sequence[Finished], audit: Audit | None) -> list[Reason]:
    looks = (
        idle_reasons,
        rule_reasons,
        privacy_reasons,
        few_records_reasons,
        diverged_reasons,
        rejected_reasons,
    )
    groups = apart(audit, runs)
    found = [reason for look in looks for group in groups for reason in look(group)]
    return [*found, *client_reasons(recorded_spreads(runs))]


def _serious_first(found: Iterable[Reason]) -> list[Reason]:
    return sorted(found, key=lambda reason: reason.severity != "serious")


def _finished(planned: Sequence[PlannedRun], folder: Path, results: pd.DataFrame) -> list[Finished]:
    rows = {row["run"]: {str(k): v for k, v in row.items()} for row in results.to_dict("records")}
    return [
        Finished(plan, RunFolder.below(folder, plan.identity), rows[plan.identity])
        for plan in planned
        if plan.identity in rows
    ]


def _seeds(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Few seeds."""
    cells = by_cell(runs)
    if not cells:
        return
    smallest = min(map(len, cells.values()))
    where = [cell for cell, group in cells.items() if len(group) == smallest]
    place = "in every cell" if len(where) == len(cells) else f"in {listed(where)}"
    behind = names(run for cell in where for run in cells[cell])
    if smallest < FEWEST:
        yield Reason(
            "few-seeds",
            "serious",
            f"{count(smallest, 'seed')} {place}: fewer than {FEWEST} decide nothing",
            behind,
        )
    elif smallest < ENOUGH:
        least = sign_flip([1.0] * smallest).smallest
        yield Reason(
            "few-seeds",
            "caution",
            f"{count(smallest, 'seed')} {place}: a sign-flip test cannot give less than p = {least:g}, so every "
            "verdict rests on the t-test's assumption of a normal distribution over seeds",
            behind,
        )


def _one_split(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Seeds that share one draw of the split: their spread is not that of a seed as the statistics mean it."""
    shared = [
        run
        for group in by_cell(runs).values()
        if len(group) > 1
        for run in group
        if run.experiment.split_seed is not None
    ]
    if shared:
        yield Reason(
            "one-split",
            "serious",
            f"the seeds of {count(len(names(shared)), 'run')} share one split (split_seed): intervals and verdicts "
            "hold for this draw of it, not for splits of its kind",
            names(shared),
        )


def _stopping(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Runs that were cut off, and runs that the test set stopped."""
    # Where the rule never stops, the limit is the protocol.
    limited = [
        run
        for run in runs
        if run.row["stopped"] == "the round limit"
        and not facts_of("stopping", run.experiment.stopping).never_stops
    ]
    if limited:
        yield Reason(
            "round-limit",
            "serious",
            f"{count(len(names(limited)), 'run')} of {len(names(runs))} reached the limit of rounds before the "
            f"stopping rule stopped them: {listed([f'{run.plan.title} ({run.experiment.rounds})' for run in limited])}",
            names(limited),
        )
    peeking = [run for run in runs if "test_loss" in looks_at("stopping", run.experiment.stopping)]
    if peeking:
        yield Reason(
            "test-set-stopping",
            "caution",
            f"the loss on the test set chose when {count(len(names(peeking)), 'run')} stopped, as in the paper's "
            "code, and the metrics are measured on the same test set",
            names(peeking),
        )
