"""A study's own table and, beside it, the paper's: mean +/- sample standard deviation over seeds, in percent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from fedskew.analysis import DEFAULT_METRICS, results_table, summary_table
from fedskew.errors import ConfigError, unknown
from fedskew.evaluation.metric_table import PERCENT
from fedskew.files import to_json
from fedskew.papers.ozdayi_kantarcioglu import beside_paper
from fedskew.report.numbers import number
from fedskew.report.tables.sheet import EXTENSIONS, Sheet, render
from fedskew.study.grid import PlannedRun, Study
from fedskew.study.splits import Split

__all__ = [
    "EXTENSIONS",
    "Sheet",
    "make_sheets",
    "mean_std",
    "metrics_text",
    "render",
    "split_table",
    "study_tables",
]


def words(metric: str) -> str:
    """A metric's name for a table's head."""
    return metric.replace("_", " ")


def mean_std(mean: float, std: float) -> str:
    """``90.08 ± 0.17``; only the mean where there is a single seed."""
    if math.isnan(mean):
        return "-"
    return f"{mean:.2f}" if math.isnan(std) else f"{mean:.2f} ± {std:.2f}"


def metrics_text(metrics: dict[str, float]) -> str:
    """The usual metrics of one record, one per line."""
    lines = []
    for name in (*DEFAULT_METRICS, "worst_class_accuracy", "client_accuracy_worst", "test_loss"):
        if name in metrics:
            value = f"{100 * metrics[name]:.2f} %" if name in PERCENT else f"{metrics[name]:.4f}"
            lines.append(f"{words(name):<22} {value}")
    return "\n".join(lines)


def study_tables(
    study: Study,
    planned: Sequence[PlannedRun],
    folder: Path,
    style: str = "text",
    metrics: Sequence[str] = (),
) -> str:
    """A study's tables in one format.

    Args:
        style: text, markdown, csv, latex or json.
        metrics: what to show; the usual ones that were measured if empty.

    Raises:
        ConfigError: a metric that no run has.
    """
    sheets = make_sheets(study, planned, folder, metrics)
    if style == "json":
        return to_json({sheet.title: sheet.numbers.to_dict("records") for sheet in sheets}, indent=1) + "\n"
    return "\n".join(render(sheet, style) for sheet in sheets)


def make_sheets(
    study: Study, planned: Sequence[PlannedRun], folder: Path, metrics: Sequence[str] = ()
) -> list[Sheet]:
    """The study's own table, and the paper's tables beside it where the study is the paper's."""
    results = results_table(planned, folder)
    distinct = len({plan.identity for plan in planned})
    return [own_sheet(study, results, distinct, metrics), *paper_sheets(study, results)[:1]]


def own_sheet(study: Study, results: pd.DataFrame, planned: int, metrics: Sequence[str] = ()) -> Sheet:
    """One row per cell of the study that has complete runs.

    Args:
        planned: how many different runs the study has; a run that stands in several cells counts once.

    Raises:
        ConfigError: a metric that no run has.
    """
    columns = (*study.axes, "seed", "run", "rounds", "stopped", "engine")
    measured = [c for c in results.columns if c not in columns]
    for metric in metrics:
        if not results.empty and metric not in measured:
            raise ConfigError(*unknown("metric", metric, measured))
    shown = list(metrics) or [m for m in DEFAULT_METRICS if m in measured]
    summary = summary_table(results, study, shown)
    shares = ", ".join(words(m) for m in shown if m in PERCENT)
    notes = ["mean ± sample standard deviation over seeds" + (f"; {shares} in percent" if shares else "")]
    if (missing := planned - (0 if results.empty else results["run"].nunique())) > 0:
        notes.append(f"{missing} of {planned} runs are not complete and are not in the table")
    if "engine" in results and results["engine"].nunique() > 1:
        notes.append("the runs were done by different engines: " + ", ".join(sorted(set(results["engine"]))))
    header = [*study.axes, *map(words, shown), "rounds", "seeds"]
    rows, runs = [], []
    for row in summary.to_dict("records"):
        cells = [mean_std(row[m], row[f"{m} std"]) for m in shown]
        labels = [row[axis] for axis in study.axes]
        rows.append([*map(str, labels), *cells, f"{row['rounds']:.1f}", str(row["seeds"])])
        group = results
        for axis, label in zip(study.axes, labels, strict=True):
            group = group[group[axis] == label]
        runs.append(tuple(group["run"]))
    headings = len(study.axes)
    return Sheet("tables", study.name, header, rows, summary, tuple(notes), headings, tuple(runs))


PAPER_TABLES = {
    "I": "Effect of data distribution on fairness",
    "II": "Effect of data distribution on robustness",
    "III": "Effect of data distribution on robustness under the RLR defence",
    "IV": "Fairness and robustness under the attack without a defence",
    "V": "Fairness and robustness under the attack with the RLR defence",
}
"""What the paper's tables are called, shortened."""


def paper_sheets(study: Study, results: pd.DataFrame) -> list[Sheet]:
    """All numbers of the paper beside ours in one table, then its Tables I-V in their own form.

    Empty unless the study has a reference and exactly the paper's axes.
    """
    if not study.reference or set(study.axes) != {"alpha", "setting"}:
        return []
    summary = summary_table(results, study, ["accuracy", "bias", "backdoor_accuracy"])
    compared = beside_paper(summary, study.reference)
    entries = compared.to_dict("records")
    notes = (
        "percent, mean ± standard deviation; the paper's over 5 runs",
        "difference: ours minus the paper's, divided by the root of the sum of both squared standard deviations",
    )
    flat = Sheet(
        "paper",
        "beside the paper, Tables I-V",
        ["table", "alpha", "setting", "metric", "paper", "ours", "difference", "seeds"],
        [
            [
                str(row["table"]),
                f"{row['alpha']:g}",
                str(row["setting"]),
                words(str(row["metric"])),
                *_beside(row),
                str(row["seeds"]),
            ]
            for row in entries
        ],
        compared,
        (*notes, *([study.description] if study.description else [])),
        headings=4,
    )
    return [flat, *(_paper_form(compared, table, notes) for table in PAPER_TABLES)]


def _paper_form(compared: pd.DataFrame, table: str, notes: tuple[str, ...]) -> Sheet:
    """One table with the paper's rows and columns, each number of the paper followed by ours."""
    part = compared[compared["table"] == table]
    metrics = list(dict.fromkeys(part["metric"]))
    header = ["Dirichlet alpha"]
    for metric in metrics:
        header += [f"{words(metric)}, paper", f"{words(metric)}, ours", "difference"]
    rows = []
    for alpha in dict.fromkeys(part["alpha"]):
        row = [f"{alpha:g}"]
        for metric in metrics:
            entry = part[(part["alpha"] == alpha) & (part["metric"] == metric)].iloc[0]
            row += _beside(entry.to_dict())
        rows.append(row)
    setting = ", ".join(dict.fromkeys(part["setting"]))
    title = f"Table {table}. {PAPER_TABLES[table]} ({setting})"
    return Sheet(f"paper-table-{table}", title, header, rows, part, notes)


def _beside(entry: dict[Any, Any]) -> list[str]:
    return [
        mean_std(entry["paper"], entry["paper_std"]),
        mean_std(entry["ours"], entry["ours_std"]),
        number(entry["z"], 1, sign=True),
    ]


def split_table(split: Split) -> Table:
    """The client x class table for a terminal; classes with long names are numbered, adversaries starred."""
    title = "\n".join(split.titles) + f"\nseed {split.seed}"
    if split.held_out:
        title += f"; {split.held_out} images held out for validation"
    numbered = max(map(len, split.class_names)) > 5
    legend = ", ".join(f"{n} {name}" for n, name in enumerate(split.class_names)) if numbered else ""
    marks = ["* adversary"] if split.malicious else []
    caption = "\n".join([*marks, *([legend] if legend else [])]) or None
    table = Table(
        title=title, title_justify="left", caption=caption, caption_justify="left", padding=(0, 0, 0, 1)
    )
    table.add_column("client", no_wrap=True)
    for place, name in enumerate(split.class_names):
        widest = len(str(split.counts[:, place].sum()))
        table.add_column(str(place) if numbered else name, justify="right", no_wrap=True, min_width=widest)
    table.add_column("all", justify="right", no_wrap=True, min_width=len(str(split.counts.sum())))
    bad = set(split.malicious)
    for client, counts in enumerate(split.counts):
        cells: list[Any] = [str(n) if n else "." for n in counts]
        table.add_row(f"{client}{'*' if client in bad else ''}", *cells, str(counts.sum()))
    table.add_section()
    table.add_row("all", *(str(n) for n in split.counts.sum(axis=0)), str(split.counts.sum()))
    return table
