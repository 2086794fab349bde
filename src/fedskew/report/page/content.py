"""What the page is made of, gathered before any HTML: sentences, tables and charts in their order."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fedskew.analysis import DEFAULT_METRICS, Difference, Judgement, Reason, judge, reasons_to_distrust
from fedskew.errors import ConfigError, unknown
from fedskew.evaluation.metric_table import METRICS
from fedskew.papers import claims_of
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Chart, Plate, metric_label, swatches
from fedskew.report.figures.clients import ColumnSplit, class_names, column_splits, split_charts
from fedskew.report.figures.curves import (
    Curve,
    cell_curves,
    curve_chart,
    facets,
    paired_curves,
    shared_limits,
)
from fedskew.report.figures.heatmap import ClassTable, class_tables, floor, heat_charts
from fedskew.report.figures.heterogeneity import choices, heterogeneity_charts
from fedskew.report.figures.plates import UPDATES, make_plates
from fedskew.report.figures.trojan import Trojan, trojan
from fedskew.report.tables import findings
from fedskew.report.tables.sheet import Sheet
from fedskew.report.tables.study import own_sheet, paper_sheets

MAIN = DEFAULT_METRICS[:3]
"""The paper's metrics, which the page shows first."""
FURTHER = (
    "attack_success_rate",
    "worst_class_accuracy",
    "client_accuracy_worst",
    "client_accuracy_std",
    "test_loss",
)
"""What a reader may choose beside them."""
CURVES = ("train_loss", "validation_loss", "validation_accuracy", "negative_rate_share")
"""And over rounds only; the last is from the defence's trace."""

NOT_METRICS = {"seed", "run", "rounds", "stopped", "engine"}
"""Columns of the results beside axes, metrics and skew."""


@dataclass(frozen=True)
class Content:
    """Everything that a report shows.

    Attributes:
        main: the study's own table.
        paper: all numbers of the paper beside ours, then its five tables; or nothing.
        curves, updates: rows of charts that belong together.
        thinned: n, where the longest curve shows every n-th round only.
    """

    evidence: Evidence
    judgements: list[Judgement]
    reasons: list[Reason]
    differences: list[Difference]
    main: Sheet
    paper: list[Sheet]
    statistics: list[Sheet]
    runs: Sheet
    metrics: list[str]
    main_metrics: list[str]
    curve_metrics: list[str]
    choices: dict[str, str]
    legend: list[tuple[str, Markup]]
    legend_title: str
    over: list[Chart]
    curves: list[list[Chart]]
    thinned: int
    updates: list[list[Chart]]
    classes: list[ClassTable]
    heat: list[Chart]
    splits: list[ColumnSplit]
    split_charts: list[Chart]
    no_splits: str
    trojan: Trojan | None
    no_trojan: str
    plates: list[Plate]

    @property
    def sheets(self) -> list[Sheet]:
        """Every table that is written as a file."""
        return [self.main, *self.paper, *self.statistics, self.runs]


def metric_columns(evidence: Evidence) -> list[str]:
    """Every metric that the runs have, a user's own among them."""
    beside = {*evidence.study.axes, *NOT_METRICS}
    return [c for c in map(str, evidence.results.columns) if c not in beside and not c.startswith("skew_")]


def main_metrics(evidence: Evidence, wanted: Sequence[str] = ()) -> list[str]:
    """The metrics to show first: the wanted ones, else the paper's that were measured.

    Raises:
        ConfigError: one that no run has.
    """
    for metric in wanted:
        if evidence.done and metric not in metric_columns(evidence):
            raise ConfigError(*unknown("metric", metric, metric_columns(evidence)))
    return evidence.measured(tuple(wanted) or MAIN)


def build_content(
    evidence: Evidence, metrics: Sequence[str] = (), progress: Callable[[str], None] = lambda text: None
) -> Content:
    """Computes the statistics and draws the charts.

    Args:
        metrics: to show first instead of the paper's.

    Raises:
        ConfigError: a metric that no run has.
    """
    results, study = evidence.results, evidence.study
    first = main_metrics(evidence, metrics)
    own = [name for name in metric_columns(evidence) if name not in METRICS]
    shown = list(dict.fromkeys([*first, *evidence.measured((*MAIN, *FURTHER, *own))]))
    compared = list(dict.fromkeys([*first, *evidence.measured(DEFAULT_METRICS)]))
    progress("judging claims")
    judgements = judge(study, results, claims_of(study)) if evidence.done else []
    reasons = reasons_to_distrust(study, evidence.planned, evidence.path, results)
    compare = findings.differences(evidence, compared) if evidence.done else []
    splits, no_splits = column_splits(evidence)
    picture, no_trojan = trojan(evidence)
    names = class_names(splits)
    classes = class_tables(evidence, names)
    progress("drawing")
    traced = {name for records in evidence.records.values() for r in records[-1:] for name in r.trace}
    curve_metrics = [*shown, *evidence.measured(CURVES), *(name for name in CURVES if name in traced)]
    parts = evidence.parts
    shown_parts = [part for part in parts if part.done and part.across]
    over = [chart for part in shown_parts for chart in heterogeneity_charts(part, shown)]
    curves, thinned = _curve_charts(parts, curve_metrics)
    return Content(
        evidence=evidence,
        judgements=judgements,
        reasons=reasons,
        differences=compare,
        main=own_sheet(study, results, len(evidence.notes), metrics),
        paper=paper_sheets(study, results) if evidence.done else [],
        statistics=_statistics(evidence, judgements, compare, classes, shown, compared),
        runs=findings.runs_sheet(evidence),
        metrics=shown,
        main_metrics=first,
        curve_metrics=curve_metrics,
        choices=choices(evidence) if over else {},
        legend=list(zip(parts[0].series, swatches(list(parts[0].series)), strict=True)),
        legend_title=parts[0].series_title,
        over=over,
        curves=curves,
        thinned=thinned,
        updates=[row for part in parts for row in _update_charts(part)],
        classes=classes,
        heat=[
            chart for part in parts for chart in heat_charts(part, class_tables(part, names), floor(classes))
        ],
        splits=splits,
        split_charts=split_charts(splits),
        no_splits=no_splits,
        trojan=picture,
        no_trojan=no_trojan,
        plates=make_plates(evidence, first, curve_metrics, names, splits, picture),
    )


def _statistics(
    evidence: Evidence,
    judgements: list[Judgement],
    differences: list[Difference],
    classes: list[ClassTable],
    metrics: list[str],
    compared: list[str],
) -> list[Sheet]:
    if not evidence.done:
        return []
    by_class = findings.classes_sheet(evidence, classes)
    found = [
        findings.claims_sheet(judgements),
        findings.differences_sheet(differences),
        findings.trends_sheet(evidence, compared),
        findings.estimates_sheet(evidence, metrics),
        *([by_class] if by_class else []),
    ]
    return [sheet for sheet in found if sheet.rows]


def _curve_charts(parts: Sequence[Evidence], metrics: list[str]) -> tuple[list[list[Chart]], int]:
    """One row of charts per metric and part, and how much the longest curve is thinned."""
    rows, thinned = [], 1
    for metric, part in itertools.product(metrics, parts):
        panels = [cell_curves(part, column, metric) for _, column in facets(part)]
        thinned = max([thinned, *(one.thinned for curves in panels for one in curves)])
        rows.append(_row(part, f"rounds-{metric}", metric_label(metric), metric, panels, {"metric": metric}))
    return [row for row in rows if row], thinned


def _update_charts(evidence: Evidence) -> list[list[Chart]]:
    rows = []
    for words, first, second in UPDATES:
        panels = [paired_curves(evidence, column, first, second) for _, column in facets(evidence)]
        rows.append(_row(evidence, f"updates-{words}", words, first[0], panels, {}))
    return [row for row in rows if row]


def _row(
    evidence: Evidence,
    name: str,
    words: str,
    metric: str,
    panels: list[list[Curve]],
    chosen_by: dict[str, str],
) -> list[Chart]:
    """Charts of one metric, one per label of the axis from left to right, on the same scale."""
    limits = shared_limits([curve for curves in panels for curve in curves])
    found = []
    for number, ((title, _), curves) in enumerate(zip(facets(evidence), panels, strict=True)):
        if curves:
            place = evidence.slug(re.sub(r"[^A-Za-z0-9]+", "-", f"{name}-{number}"))
            chosen = {**chosen_by, "column": str(number), **evidence.chosen_by}
            found.append(curve_chart(place, evidence.named(words, title), metric, curves, limits, chosen))
    return found
