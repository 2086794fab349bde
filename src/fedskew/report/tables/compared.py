"""The table of an audit that compares its defence with each other one under the worst attack."""

from __future__ import annotations

import itertools

import pandas as pd

from fedskew.analysis import Difference
from fedskew.analysis.compared import compared
from fedskew.analysis.scorecard import UNDER
from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.numbers import alike_note, with_interval
from fedskew.report.tables.sheet import Sheet


def compared_sheets(evidence: Evidence) -> list[Sheet]:
    """The table, one row for each spread and other defence; none of a study that audits no single defence, or without
    complete runs."""
    audit, found = evidence.study.audit, compared(evidence.study, evidence.results)
    if audit is None or not found:
        return []
    metrics = [metric for metric in UNDER if any(one.metric == metric for one in found)]
    places = found[0].where
    header = [
        *places,
        "compared with",
        *(f"{meaning(name).label}, worst {audit.attacks}" for name in metrics),
    ]
    rows, runs = [], []
    for (where, other), some in itertools.groupby(found, lambda one: ([*one.where.values()], one.first)):
        by_metric = {one.metric: one for one in some}
        cells = [_cell(by_metric.get(metric)) for metric in metrics]
        rows.append([*map(str, where), str(other), *cells])
        runs.append(tuple(dict.fromkeys(run for one in by_metric.values() for run in one.runs)))
    numbers = pd.DataFrame(
        {
            **one.where,
            "compared with": one.first,
            "metric": one.metric,
            **{name: getattr(one, name) for name in ("effect", "low", "high", "n", "p_value", "p_holm")},
        }
        for one in found
    )
    notes = (
        f"{audit.defence} minus each other setting, each under its own worst {audit.attacks} of each seed: mean of the "
        "differences with its 95 % interval, in percentage points, paired by seed",
        f"* p < 0.05 after Holm's correction for all {len(found)} numbers of this table",
        *alike_note(rows),
    )
    title = f"{audit.defence} compared"
    return [Sheet("compared", title, header, rows, numbers, notes, len(places) + 1, tuple(runs))]


def _cell(one: Difference | None) -> str:
    if one is None:
        return "–"
    return with_interval(one, sign=True) + (" *" if one.p_holm < 0.05 else "")
