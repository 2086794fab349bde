"""The figures of an audit: what each defence has without an attack and under its worst, and what each attack leaves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from fedskew.analysis import Estimate, estimate
from fedskew.analysis.estimates import within
from fedskew.analysis.scorecard import UNDER, WITHOUT, defences, what_is_left, worst_runs
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Chart, Plate
from fedskew.report.figures.heatmap import floor, heat_charts, heat_plate
from fedskew.report.figures.heterogeneity import heterogeneity_charts
from fedskew.report.first import leaks
from fedskew.report.over import AXIS
from fedskew.report.tables.classes import ClassTable, Shown
from fedskew.study.audit import Audit

KEPT = "what an attack leaves"


def audit_charts(evidence: Evidence) -> list[Chart]:
    """The main figure of an audit: defences over the spread of the data. None without such an axis."""
    if evidence.study.audit is None or not evidence.done or len(evidence.study.axes) < 3:
        return []
    return [
        replace(chart, name=f"audit-{number}-{chart.name}", chosen_by={})
        for number, (metric, part) in enumerate(_parts(evidence, evidence.study.audit))
        for chart in heterogeneity_charts(part, [metric])
        if chart.chosen_by["x"] == AXIS
    ]


def kept_charts(evidence: Evidence) -> list[Chart]:
    """A heat map for each spread: defences x attacks, the defence with the best worst case first."""
    found = _kept(evidence)
    if found is None:
        return []
    part, shown = found
    charts = heat_charts(part, shown, floor(shown.tables))
    return [replace(chart, name=f"kept-{chart.name}", chosen_by={}) for chart in charts]


def kept_plates(evidence: Evidence) -> list[Plate]:
    """The same as a file."""
    found = _kept(evidence)
    return [] if found is None else [heat_plate(found[0], found[1], floor(found[1].tables), "attacks")]


def _apart(evidence: Evidence, audit: Audit, results: pd.DataFrame) -> Evidence:
    """The evidence without the axis of attacks."""
    axes = {name: axis for name, axis in evidence.study.axes.items() if name != audit.attacks}
    study = evidence.study.model_copy(update={"axes": axes, "audit": None, "claims": (), "exclude": ()})
    return replace(evidence, study=study, results=results)


def _parts(evidence: Evidence, audit: Audit) -> Iterator[tuple[str, Evidence]]:
    """(metric, evidence without the axis of attacks)."""
    results = evidence.results
    clean = results[results[audit.attacks] == audit.no_attack]
    for metric in (*evidence.measured(WITHOUT), *leaks(evidence)):
        yield metric, replace(_apart(evidence, audit, clean), part=(0, audit.no_attack))
    for metric in UNDER:
        worst = worst_runs(evidence.study, results, metric)
        if len(worst):
            yield metric, replace(_apart(evidence, audit, worst), part=(0, f"worst {audit.attacks}"))


def _kept(evidence: Evidence) -> tuple[Evidence, Shown] | None:
    """What each attack leaves to each defence: the accuracy or, if that is lower, the share of triggered images that a
    backdoor does not turn."""
    audit, results = evidence.study.audit, evidence.results
    if audit is None or not evidence.done or len(evidence.study.axes) < 3:
        return None
    part = _apart(evidence, audit, results)
    attacks = [label for label, _ in evidence.study.axes[audit.attacks].points()]
    there = defences(evidence.study, audit)
    kept = 100 * what_is_left(results)
    cells: dict[tuple[object, object], list[Estimate]] = {}
    for column in part.columns:
        for defence in there:
            rows = within(results, {str(part.across): column, audit.defences: defence})
            groups = (rows[rows[audit.attacks] == attack] for attack in attacks)
            cells[column, defence] = [
                estimate(kept.loc[group.index].tolist(), group["run"].tolist(), bounds=(0.0, 100.0))
                for group in groups
            ]

    def worst(defence: object) -> float:
        means = [cell.mean for column in part.columns for cell in cells[column, defence]]
        return -1.0 if any(map(math.isnan, means)) else min(means)  # what is not complete stands last

    ranked = sorted(there, key=worst, reverse=True)
    tables = [
        ClassTable(
            f"{part.across} {column}",
            column,
            [str(defence) for defence in ranked],
            [str(attack) for attack in attacks],
            [cells[column, defence] for defence in ranked],
            KEPT,
            audit.attacks,
            "no run is complete",
        )
        for column in part.columns
    ]
    return part, Shown(tables, list(range(len(attacks))))
