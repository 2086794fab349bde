"""A study's own table, one row per cell: mean +/- sample standard deviation over seeds, shares in percent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fedskew.analysis import measured_columns, results_table, summary_table
from fedskew.analysis.estimates import within
from fedskew.errors import ConfigError, unknown
from fedskew.evaluation.metric_table import meaning, usual_metrics
from fedskew.files import to_json
from fedskew.papers import published_beside
from fedskew.report.numbers import mean_std
from fedskew.report.tables.best import best_sheets
from fedskew.report.tables.paper import paper_sheets
from fedskew.report.tables.sheet import Sheet, render
from fedskew.runs.folder import RunFolder
from fedskew.study.grid import PlannedRun, Study

MARK = "†"
"""Beside numbers of runs that diverged."""


def study_tables(
    study: Study,
    planned: Sequence[PlannedRun],
    folder: Path,
    style: str = "text",
    metrics: Sequence[str] = (),
    best: str | None = None,
) -> str:
    """A study's tables in one format.

    Args:
        style: text, markdown, csv, latex or json.
        metrics: what to show; the usual ones that were measured if empty.
        best: the metric that chooses the best round of each run, to be shown beside the last.

    Raises:
        ConfigError: a metric that no run has.
    """
    sheets = make_sheets(study, planned, folder, metrics, best)
    if style == "json":
        plain = {sheet.title: _as_recorded(sheet.numbers).to_dict("records") for sheet in sheets}
        return to_json(plain, indent=1, ascii_only=True) + "\n"
    return "\n".join(render(sheet, style) for sheet in sheets)


def _as_recorded(numbers: pd.DataFrame) -> pd.DataFrame:
    """The same numbers in the units of the records, in which every command prints JSON: shares as fractions."""
    numbers = numbers.copy()
    for column in map(str, numbers.columns):
        metric, _, statistic = column.rpartition(" ")
        metric = metric if statistic in ("std", "low", "high") else column
        if meaning(metric).is_share:
            numbers[column] /= meaning(metric).scale
    if "metric" in numbers:  # published numbers beside ours, one row per metric
        scales = numbers["metric"].map(lambda metric: meaning(str(metric)).scale)
        for column in ("paper", "paper_std", "ours", "ours_std"):
            numbers[column] /= scales
    return numbers


def make_sheets(
    study: Study,
    planned: Sequence[PlannedRun],
    folder: Path,
    metrics: Sequence[str] = (),
    best: str | None = None,
) -> list[Sheet]:
    """The study's own table; the best round beside the last, if that is asked for; where it has a reference, all
    numbers of that paper beside ours."""
    results = results_table(planned, folder)
    distinct = len({plan.identity for plan in planned})
    published = published_beside(study, results)
    own = own_sheet(study, results, distinct, metrics)
    runs = results["run"].unique() if best is not None and len(results) else ()
    records = {run: RunFolder.below(folder, run).read_records() for run in runs}
    shown = list(metrics) or usual_metrics(measured_columns(results, study))
    beside = best_sheets(study, results, records, best, shown)
    return [own, *beside, *(paper_sheets(published, study.description)[:1] if published else [])]


def own_sheet(study: Study, results: pd.DataFrame, planned: int, metrics: Sequence[str] = ()) -> Sheet:
    """One row per cell of the study that has complete runs.

    Args:
        planned: how many different runs the study has; a run of several cells counts once.

    Raises:
        ConfigError: a metric that no run has.
    """
    measured = measured_columns(results, study)
    for metric in metrics:
        if not results.empty and metric not in measured:
            raise ConfigError(*unknown("metric", metric, measured))
    shown = list(metrics) or usual_metrics(measured)
    summary = summary_table(results, study, shown)
    shares = ", ".join(meaning(m).label for m in shown if meaning(m).is_share)
    notes = ["mean ± sample standard deviation over seeds" + (f"; {shares} in percent" if shares else "")]
    if (missing := planned - (0 if results.empty else results["run"].nunique())) > 0:
        notes.append(f"{missing} of {planned} runs are not complete and are not in the table")
    if "engine" in results and results["engine"].nunique() > 1:
        notes.append("the runs were done by different engines: " + ", ".join(sorted(set(results["engine"]))))
    if known := sorted({*results.get("threat_model", ())} - {""}):
        notes.append(f"adversaries know more than their own updates in some runs: {', '.join(known)}")
    diverged = set(results["run"][results["diverged"] != ""]) if "diverged" in results else set()
    if diverged:
        notes.append(
            f"{MARK} some of the runs behind it diverged: it is not the number of trained models alone"
        )
    header = [*study.axes, *(meaning(m).label for m in shown), "rounds", "seeds"]
    rows, runs = [], []
    for row in summary.to_dict("records"):
        labels = [row[axis] for axis in study.axes]
        behind = tuple(within(results, dict(zip(study.axes, labels, strict=True)))["run"])
        mark = f" {MARK}" if diverged.intersection(behind) else ""
        cells = [mean_std(row[m], row[f"{m} std"], meaning(m).digits) + mark for m in shown]
        rows.append([*map(str, labels), *cells, f"{row['rounds']:.1f}", str(row["seeds"])])
        runs.append(behind)
    headings = len(study.axes)
    return Sheet("tables", study.name, header, rows, summary, tuple(notes), headings, tuple(runs))
