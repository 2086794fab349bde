"""The table of an audit that says what leaks: the privacy attacks beside accuracy and the worst case under attack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fedskew.analysis import Estimate
from fedskew.analysis.scorecard import Score, extreme_spreads, scorecard, spread_axis, spreads
from fedskew.evaluation.leakage_table import LEAKAGE, leading, leakage_row
from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.numbers import alike_note, number, with_interval
from fedskew.report.tables.sheet import Sheet
from fedskew.study.audit import Audit

BESIDE = ("accuracy",)
"""Of runs without an attack, beside what leaks."""
BESIDE_WORST = ("accuracy", "attack_success_rate")
"""Under the worst attack, beside what leaks."""
DISTRIBUTION = "auc_of_distribution"
"""The row of ``LEAKAGE`` that says what test images instead of the clients' held-out ones change."""


def leaks_sheets(evidence: Evidence) -> list[Sheet]:
    """The table, one row for the most even and the most uneven spread and each defence; none of a study that is no
    audit, or whose runs without an attack no privacy attack has watched."""
    audit = evidence.study.audit
    scores = scorecard(evidence.study, evidence.results)
    if audit is None or not any(score.leaks for score in scores):
        return []
    axis, ends = spread_axis(evidence.study, audit), extreme_spreads(evidence.study, audit)
    some = (
        "the most even and the most uneven spread; "
        if len(ends) < len(spreads(evidence.study, audit))
        else ""
    )
    shown = [score for score in scores if score.spread in ends]
    found = list(dict.fromkeys(name for score in shown for name in leading(score.leaks)))
    header = [
        *([axis] if axis else []),
        audit.defences,
        *(f"{meaning(name).label}, {audit.no_attack}" for name in BESIDE),
        *(f"{meaning(name).label}, worst {audit.attacks}" for name in BESIDE_WORST),
        *(meaning(name).label for name in found),
    ]
    rows = [
        [
            *([str(score.spread)] if axis else []),
            str(score.defence),
            *(_cell(score.without, name, 1) for name in BESIDE),
            *(
                _cell({name: one.found for name, one in score.under.items()}, name, 1)
                for name in BESIDE_WORST
            ),
            *(_cell(score.leaks, name, meaning(name).digits) for name in found),
        ]
        for score in shown
    ]
    notes = (
        f"{some}mean over seeds with its 95 % interval, after the last round; the privacy attacks watch the runs with "
        f"{audit.no_attack}, and look for the data of honest clients",
        *_chances(found),
        *_base_rates(audit, axis, shown),
        *_of_the_distribution(audit, axis, shown),
        *alike_note(rows),
    )
    numbers = pd.DataFrame(_numbers(axis, audit, score) for score in shown)
    runs = tuple(
        tuple(dict.fromkeys(run for one in score.leaks.values() for run in one.runs)) for score in shown
    )
    return [Sheet("leaks", "What leaks", header, rows, numbers, notes, 2 if axis else 1, runs)]


def _cell(found: Mapping[str, Estimate], name: str, digits: int) -> str:
    return with_interval(found[name], digits=digits) if name in found else "–"


def _chances(names: Sequence[str]) -> Iterator[str]:
    """What somebody who knows nothing reaches, by the kind of metric."""
    kinds = {end: LEAKAGE[end] for end in map(leakage_row, names) if end is not None}
    known = [f"{row.chance:g} for {row.label}" for row in kinds.values() if row.chance is not None]
    if known:
        yield f"chance: {'; '.join(known)}"


def _base_rates(audit: Audit, axis: str | None, shown: Sequence[Score]) -> Iterator[str]:
    """Of metrics for which somebody who knows nothing reaches another value at each spread: these values."""
    own = [score for score in shown if score.defence == (audit.defence or audit.undefended)]
    for name in dict.fromkeys(name for score in own for name in leading(score.leaks)):
        row = meaning(name)
        parts = [
            f"{number(score.leaks[row.chance_metric].mean, 3)}{f' at {axis} {score.spread}' if axis else ''}"
            for score in own
            if row.chance_metric in score.leaks
        ]
        if parts:
            way = "less" if row.better == "higher" else "more"
            yield f"{row.label}: the larger, the {way} leaks; without the updates it is {' and '.join(parts)}"


def _of_the_distribution(audit: Audit, axis: str | None, shown: Sequence[Score]) -> Iterator[str]:
    """What an audit would have called a leak that compares members with test images: one sentence about the audited
    defence (where all are audited, about none), and the attack of which it is true most."""
    defence = audit.defence or audit.undefended
    own = [score for score in shown if score.defence == defence]
    found = {
        name: max(abs(score.leaks[name].mean) for score in own if name in score.leaks)
        for score in own
        for name in score.leaks
        if leakage_row(name) == DISTRIBUTION
    }
    if not found:
        return
    name = max(found, key=lambda name: found[name])
    attack = meaning(name).label.partition(":")[0]
    parts = [
        f"{number(score.leaks[name].mean, 3, sign=True)}{f' at {axis} {score.spread}' if axis else ''}"
        for score in own
        if name in score.leaks
    ]
    yield (
        f"against test images of any class instead of what the same clients hold out the AUC of {attack} for {defence} "
        f"differs by {' and '.join(parts)}; that comes from the mix of classes of each client, not from what the model "
        "remembers, and is in no number of this table"
    )


def _numbers(axis: str | None, audit: Audit, score: Score) -> dict[str, Any]:
    """Every metric of the privacy attacks, not only those that the table shows."""
    row: dict[str, Any] = {**({axis: score.spread} if axis else {}), audit.defences: score.defence}
    for name, found in score.leaks.items():
        row |= {f"{name} {part}": getattr(found, part) for part in ("mean", "std", "low", "high", "n")}
    return row
