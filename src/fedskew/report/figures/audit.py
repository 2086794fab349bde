"""The main figure of an audit: what each defence has without an attack, and under its worst."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fedskew.analysis.contrasts import worst_rows
from fedskew.analysis.scorecard import UNDER, WITHOUT
from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Chart
from fedskew.report.figures.heterogeneity import heterogeneity_charts
from fedskew.report.over import AXIS


def audit_charts(evidence: Evidence) -> list[Chart]:
    """The main figure of an audit: defences over the spread of the data. None without such an axis."""
    audit = evidence.study.audit
    if audit is None or not evidence.done or len(evidence.study.axes) < 3:
        return []
    return [
        replace(chart, name=f"audit-{number}-{chart.name}", chosen_by={})
        for number, (metric, part) in enumerate(_parts(evidence))
        for chart in heterogeneity_charts(part, [metric])
        if chart.chosen_by["x"] == AXIS
    ]


def _parts(evidence: Evidence) -> Iterator[tuple[str, Evidence]]:
    """(metric, evidence without the axis of attacks)."""
    audit, results = evidence.study.audit, evidence.results
    if audit is None:
        return
    axes = {name: axis for name, axis in evidence.study.axes.items() if name != audit.attacks}
    study = evidence.study.model_copy(update={"axes": axes, "audit": None, "claims": (), "exclude": ()})
    clean = results[results[audit.attacks] == audit.no_attack]
    attacked = results[results[audit.attacks] != audit.no_attack]
    for metric in WITHOUT:
        yield metric, replace(evidence, study=study, results=clean, part=(0, audit.no_attack))
    for metric in UNDER:
        if metric in attacked and attacked[metric].notna().any():
            known = attacked.dropna(subset=[metric])
            highest = meaning(metric).better == "lower"
            worst = worst_rows(known, audit.attacks, [*axes, "seed"], metric, highest=highest)
            yield metric, replace(evidence, study=study, results=worst, part=(0, f"worst {audit.attacks}"))
