"""What the page is made of, gathered before any HTML: judgements, tables and charts in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from fedskew.analysis import (
    Difference,
    Judgement,
    Reason,
    judge,
    metric_columns,
    reasons_to_distrust,
    study_differences,
)
from fedskew.evaluation.metric_table import MAIN_METRICS, METRICS, usual_metrics
from fedskew.papers import Paper, claims_of, published_beside
from fedskew.report.answers import answers
from fedskew.report.evidence import Evidence
from fedskew.report.figures.audit import audit_charts, kept_charts, kept_plates
from fedskew.report.figures.charts import Chart, Plate, swatches
from fedskew.report.figures.curves import curve_rows, update_rows
from fedskew.report.figures.heterogeneity import choices, heterogeneity_charts
from fedskew.report.figures.plates import make_plates
from fedskew.report.figures.splits import split_charts
from fedskew.report.figures.trojan import Trojan, trojan
from fedskew.report.first import main_metrics
from fedskew.report.page.accuracies import Accuracies, class_accuracies, client_sheets, group_accuracies
from fedskew.report.page.lead import lead_charts, leading_parts, left_out
from fedskew.report.page.pays import Pays, pays_section
from fedskew.report.parts import parts_of, rules_of
from fedskew.report.pays import who_pays
from fedskew.report.splits import ColumnSplit, class_names, column_splits, few_splits
from fedskew.report.tables import statistics
from fedskew.report.tables.best import best_sheets
from fedskew.report.tables.paper import paper_sheets
from fedskew.report.tables.runs import runs_sheet
from fedskew.report.tables.scorecard import scorecard_sheets
from fedskew.report.tables.sheet import Sheet
from fedskew.report.tables.study import own_sheet
from fedskew.study.stated import afterthoughts

FURTHER = (
    "attack_success_rate",
    "worst_class_accuracy",
    "class_accuracy_worst_tenth",
    "class_accuracy_jain",
    "worst_group_accuracy",
    "group_accuracy_gap",
    "demographic_parity_difference",
    "equalized_odds_difference",
    "client_accuracy_worst",
    "client_accuracy_worst_tenth",
    "client_accuracy_std",
    "client_accuracy_jain",
    "held_out_accuracy_mean",
    "held_out_accuracy_worst",
    "held_out_accuracy_worst_tenth",
    "held_out_accuracy_jain",
    "personal_accuracy_mean",
    "personal_accuracy_worst",
    "personal_accuracy_worst_tenth",
    "personal_attack_success_rate",
    "detection_true_positive_rate",
    "detection_false_positive_rate",
    "weight_malicious",
    "down_weighted_malicious",
    "down_weighted_honest",
    "equal_weight_honest",
    "test_loss",
)
"""Standard metrics that a reader can choose beside the main ones, as far as they were measured."""
MOST_OWN = 100
"""Metrics of plug-ins with figures; each has many."""
CURVES = (
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "negative_rate_share",
    "epsilon",
    "signal_to_noise",
)
"""Those that have curves over rounds only; the last three are from the defence's trace."""


@dataclass(frozen=True)
class Content:
    """Everything that a report shows.

    Attributes:
        parts: the evidence, cut so that each part fits into one picture.
        scorecard, audited, kept: of an audit, its tables, its main figure, and a heat map of its attacks for each
            spread; of another study none.
        answers: of an audit, its questions -> the answers, and the numbers of the claims that they are made from.
        main: the study's own table.
        best: the best round beside the last, if that was asked for.
        paper: whose published numbers are shown; None if there are none.
        published: all its numbers beside ours, then its own tables; or nothing.
        explained: metrics of the main figure, the study's own table and the claims, which are explained before them.
        late: number of a claim -> how it was added or changed after results were there, in words.
        curves, updates: rows of charts that belong together.
        thinned: n, where the longest curve shows every n-th round only.
        lead: the main figure, some of ``over``: for each part that it shows, its charts.
        lead_rule: which parts it leaves out, in a sentence; "" for none.
        columns: (number, label) of the labels of the axis from left to right that have panels of their own.
        rules: which series and panels the figures leave out, in sentences.
        pays: what the section "Who pays" shows.
    """

    evidence: Evidence
    parts: list[Evidence]
    judgements: list[Judgement]
    late: dict[int, str]
    reasons: list[Reason]
    differences: list[Difference]
    scorecard: list[Sheet]
    audited: list[Chart]
    kept: list[Chart]
    answers: dict[str, tuple[str, tuple[int, ...]]]
    main: Sheet
    best: list[Sheet]
    paper: Paper | None
    published: list[Sheet]
    statistics: list[Sheet]
    runs: Sheet
    metrics: list[str]
    main_metrics: list[str]
    explained: list[str]
    curve_metrics: list[str]
    choices: dict[str, str]
    legend: list[tuple[str, Markup]]
    legend_title: str
    over: list[Chart]
    lead: list[list[Chart]]
    lead_rule: str
    curves: list[list[Chart]]
    thinned: int
    updates: list[list[Chart]]
    columns: list[tuple[int, Any]]
    rules: list[str]
    pays: Pays
    classes: Accuracies
    groups: Accuracies
    splits: list[ColumnSplit]
    split_charts: list[Chart]
    no_splits: str
    trojan: Trojan | None
    no_trojan: str
    plates: list[Plate]

    @property
    def audited_legend(self) -> list[tuple[str, Markup]]:
        """The defences of an audit, as its main figure draws them."""
        audit = self.evidence.study.audit
        defences = (
            [str(label) for label, _ in self.evidence.study.axes[audit.defences].points()] if audit else []
        )
        return list(zip(defences, swatches(defences), strict=True))

    @property
    def sheets(self) -> list[Sheet]:
        """Every table that is written as a file."""
        return [
            *self.scorecard,
            self.main,
            *self.best,
            *self.published,
            *self.pays.sheets,
            *self.statistics,
            self.runs,
        ]


def build_content(
    evidence: Evidence,
    metrics: Sequence[str] = (),
    progress: Callable[[str], None] = lambda text: None,
    best: str | None = None,
) -> Content:
    """Computes the statistics and draws the charts.

    Args:
        metrics: to show first instead of the usual.
        best: the metric that chooses the best round of each run, to be shown beside the last.

    Raises:
        ConfigError: a metric that no run has, or one that cannot choose.
    """
    results, study = evidence.results, evidence.study
    first = main_metrics(evidence, metrics)
    own = [name for name in metric_columns(results, study) if name not in METRICS]
    shown = list(dict.fromkeys([*first, *evidence.telling((*MAIN_METRICS, *FURTHER, *own[:MOST_OWN]))]))
    compared = list(
        dict.fromkeys([*first, *evidence.measured(usual_metrics(metric_columns(results, study)))])
    )
    progress("judging claims")
    judgements = judge(study, results, claims_of(study)) if evidence.done else []
    reasons = reasons_to_distrust(study, evidence.planned, evidence.path, results, judgements)
    late, _ = afterthoughts(evidence.path, study.claims)
    compare = study_differences(results, study, compared) if evidence.done else []
    splits, no_splits = few_splits(*column_splits(evidence))
    picture, no_trojan = trojan(evidence)
    names = class_names(splits)
    parts = parts_of(evidence, first[0] if first else "accuracy")
    classes, groups = class_accuracies(evidence, parts, names), group_accuracies(evidence, parts)
    accuracies = [*classes.sheets, *groups.sheets, *client_sheets(evidence)]
    heat = [(one.start, one.shown) for one in (classes, groups)]
    published = published_beside(study, results) if evidence.done else None
    claimed = [one.claim.metric for one in judgements if one.claim.metric != "rounds"]
    progress("drawing")
    traced = {name for records in evidence.records.values() for r in records[-1:] for name in r.trace}
    curve_metrics = [*shown, *evidence.measured(CURVES), *(name for name in CURVES if name in traced)]
    shown_parts = [part for part in parts if part.done and part.across]
    over = [chart for part in shown_parts for chart in heterogeneity_charts(part, shown)]
    audited = audit_charts(evidence)
    who = who_pays(evidence)
    legend = list(zip(parts[0].series, swatches(list(parts[0].series)), strict=True))
    leading = [] if audited else leading_parts(shown_parts, first)
    curves, thinned = curve_rows(parts, curve_metrics, first)
    return Content(
        evidence=evidence,
        parts=parts,
        judgements=judgements,
        late=late,
        reasons=reasons,
        differences=compare,
        scorecard=scorecard_sheets(evidence),
        audited=audited,
        kept=kept_charts(evidence),
        answers=answers(study, judgements, late),
        main=own_sheet(study, results, len(evidence.notes), metrics),
        best=best_sheets(study, results, evidence.records, best, compared),
        paper=published.paper if published else None,
        published=paper_sheets(published, study.description) if published else [],
        statistics=_statistics(evidence, judgements, late, compare, accuracies, shown, compared, len(own)),
        runs=runs_sheet(evidence),
        metrics=shown,
        main_metrics=first,
        explained=list(dict.fromkeys([*compared, *(name for name in claimed if name in results)])),
        curve_metrics=curve_metrics,
        choices=choices(evidence) if over else {},
        legend=legend,
        legend_title=parts[0].series_title,
        over=over,
        lead=[lead_charts(over, part, first) for part in leading],
        lead_rule=left_out(parts, leading),
        curves=curves,
        thinned=thinned,
        updates=update_rows(parts),
        columns=[(evidence.columns.index(label), label) for _, label in parts[0].facets if evidence.across],
        rules=rules_of(parts),
        pays=pays_section(evidence, parts, who, legend),
        classes=classes,
        groups=groups,
        splits=splits,
        split_charts=split_charts(splits),
        no_splits=no_splits,
        trojan=picture,
        no_trojan=no_trojan,
        plates=[
            *kept_plates(evidence),
            *make_plates(parts, first, curve_metrics, heat, splits, picture, who),
        ],
    )


def _statistics(
    evidence: Evidence,
    judgements: list[Judgement],
    late: dict[int, str],
    differences: list[Difference],
    accuracies: list[Sheet],
    metrics: list[str],
    compared: list[str],
    own: int,
) -> list[Sheet]:
    if not evidence.done:
        return []
    estimates = statistics.estimates_sheet(evidence, metrics)
    if own > MOST_OWN:
        rule = f"the first {MOST_OWN} of {own:,} metrics of plug-ins, here and in figures; all are in tables/runs.csv"
        estimates = replace(estimates, notes=(*estimates.notes, rule))
    found = [
        statistics.claims_sheet(judgements, late),
        statistics.differences_sheet(differences),
        statistics.trends_sheet(evidence, compared),
        estimates,
        *accuracies,
    ]
    return [sheet for sheet in found if sheet.rows]
