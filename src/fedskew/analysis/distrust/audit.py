"""Reasons to distrust an audit: attacks without teeth, none that knew the defence, options that no rule chose."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from fedskew.analysis.distrust.attack import CLEARLY
from fedskew.analysis.distrust.reasons import Finished, Reason, listed, names
from fedskew.analysis.distrust.roles import defending
from fedskew.analysis.estimates import within
from fedskew.analysis.scorecard import harm, spread_axis, worst_attack
from fedskew.components.known import options_of
from fedskew.protocols import THREAT_MODELS
from fedskew.study.grid import Study

FEW_POINTS = 5.0
"""Percentage points of accuracy that the worst attack on no defence must cost at least."""


def audit_reasons(study: Study, runs: Sequence[Finished], results: pd.DataFrame) -> Iterator[Reason]:
    """Those of an audit; nothing for a study that is none."""
    audit = study.audit
    if audit is None or results.empty:
        return
    axis = spread_axis(study, audit)
    harmless = []
    for spread, points in harm(study, results, audit.undefended).items():
        where = {**({axis: spread} if axis else {}), audit.defences: audit.undefended}
        rows = within(results, where)
        success = worst_attack(rows, audit, "attack_success_rate")
        clean = within(rows, {audit.attacks: audit.no_attack})
        before = clean["clean_trigger_rate"].mean() if "clean_trigger_rate" in clean else math.nan
        beyond = success.found.mean / 100 - (0.0 if math.isnan(before) else before) if success else 0.0
        if points < FEW_POINTS and beyond < CLEARLY:
            harmless.append(
                f"{axis} {spread} ({points:.1f} points of accuracy)"
                if axis
                else f"{points:.1f} points of accuracy"
            )
    if harmless:
        yield Reason(
            "audit-without-teeth",
            "serious",
            "the attacks of this audit do little harm even without a defence, so that it cannot tell a good defence "
            f"from a bad one: {listed(harmless)}",
            tuple(within(results, {audit.defences: audit.undefended})["run"]),
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
    knowing = {name for name, model in THREAT_MODELS.items() if model.knows_defence}
    attacked = [run for run in audited if run.plan.cell[audit.attacks] != audit.no_attack]
    if attacked and not any(run.row["threat_model"] in knowing for run in attacked):
        yield Reason(
            "no-adaptive-attack",
            "caution",
            f"no attack of this audit knew {label or 'the defences'}: one that is made for it may do more harm",
            names(attacked),
        )
    options = (options_of(kind, part) for run in audited for kind, part in defending(run.experiment))
    if not audit.tuned and any(options):
        yield Reason(
            "options-not-tuned",
            "caution",
            f"no rule chose the options of {label or 'the defences'}"
            f"{', nor those of what it is compared with' if label else ''}: others may do better",
            names(audited),
        )
