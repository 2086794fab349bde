"""Reasons to distrust an audit: attacks without teeth, none that knew the defence, options that were not tuned; and how
much a reason counts that is only about what the defence is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pandas as pd

from fedskew.analysis.distrust.attack import CLEARLY
from fedskew.analysis.distrust.reasons import Finished, Reason, listed, names
from fedskew.analysis.distrust.roles import defending
from fedskew.analysis.estimates import within
from fedskew.analysis.scorecard import harm, spread_axis, worst_runs
from fedskew.components.adapting import adapts
from fedskew.components.known import options_of
from fedskew.study.audit import Audit
from fedskew.study.grid import Study

FEW_POINTS = 5.0
"""Percentage points of accuracy that the worst attack on no defence must cost at least."""


def apart(audit: Audit | None, runs: Sequence[Finished]) -> list[list[Finished]]:
    """The runs in two groups, so that no reason is about both: those of an audited defence and of no defence, and those
    of what it is compared with. One group where nothing is audited, or everything."""
    if audit is None or not audit.defence:
        return [list(runs)]
    of_others = _compared_with(audit, runs)
    return [
        [run for run in runs if run.name not in of_others],
        [run for run in runs if run.name in of_others],
    ]


def graded(audit: Audit | None, runs: Sequence[Finished], reasons: Iterable[Reason]) -> Iterator[Reason]:
    """The reasons; one that is only about what a defence is compared with says so and is a caution, since no verdict on
    the defence rests on these runs."""
    of_others = _compared_with(audit, runs) if audit is not None and audit.defence else {}
    for reason in reasons:
        if reason.runs and of_others.keys() >= {*reason.runs}:
            labels = ", ".join(dict.fromkeys(of_others[run] for run in reason.runs))
            text = f"about {labels}, which the defence is compared with: {reason.text}"
            yield replace(reason, severity="caution", text=text)
        else:
            yield reason


def _compared_with(audit: Audit, runs: Sequence[Finished]) -> dict[str, str]:
    """Runs that belong neither to the audited defence nor to no defence -> their defence."""
    own = (audit.defence, audit.undefended)
    labels = {run.name: str(run.plan.cell[audit.defences]) for run in runs}
    audited = {run.name for run in runs if run.plan.cell[audit.defences] in own}
    return {run: label for run, label in labels.items() if run not in audited}


def audit_reasons(study: Study, runs: Sequence[Finished], results: pd.DataFrame) -> Iterator[Reason]:
    """Those of an audit; nothing for a study that is none."""
    audit = study.audit
    if audit is None or results.empty:
        return
    axis = spread_axis(study, audit)
    bare = within(results, {audit.defences: audit.undefended})
    worst = worst_runs(study, bare, "attack_success_rate")
    harmless = []
    for spread, points in harm(study, results, audit.undefended).items():
        backdoor = within(worst, {axis: spread} if axis else {})
        if points < FEW_POINTS and not _succeeds(backdoor):
            what = f"{points:.1f} points of accuracy"
            harmless.append(f"{axis} {spread} ({what})" if axis else what)
    if harmless:
        yield Reason(
            "audit-without-teeth",
            "serious",
            "the attacks of this audit do little harm even without a defence, so that it cannot tell a good defence "
            f"from a bad one: {listed(harmless)}",
            tuple(bare["run"]),
        )
    label = audit.defence
    audited = [
        run
        for run in runs
        if (
            run.plan.cell[audit.defences] == label
            if label
            else run.plan.cell[audit.defences] != audit.undefended
        )
    ]
    attacked = [run for run in audited if run.plan.cell[audit.attacks] != audit.no_attack]
    if attacked and not any(_adapts(run) for run in attacked):
        yield Reason(
            "no-adaptive-attack",
            "caution",
            f"no attack of this audit adapts to {label or 'the defences'}: one that is made for it may do more harm",
            names(attacked),
        )
    options = (options_of(kind, part) for run in audited for kind, part in defending(run.experiment))
    if not audit.tuned and any(options):
        yield Reason(
            "options-not-tuned",
            "caution",
            f"the options of {label or 'the defences'} were not tuned"
            f"{', nor those of what it is compared with' if label else ''}: others may do better",
            names(audited),
        )


def _adapts(run: Finished) -> bool:
    return adapts(run.experiment.attack, run.row["threat_model"], run.experiment.defence)


def _succeeds(worst: pd.DataFrame) -> bool:
    """Whether backdoors turn clearly more images than the same models take for their target without the trigger."""
    if worst.empty:
        return False
    beside = worst["target_share"].fillna(0.0) if "target_share" in worst else 0.0
    return bool((worst["attack_success_rate"] - beside).mean() >= CLEARLY)
