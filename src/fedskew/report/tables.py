"""A study's tables as text, Markdown, CSV, LaTeX and JSON; mean +/- sample standard deviation over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from fedskew.analysis import DEFAULT_METRICS, beside_paper, results_table, summary_table
from fedskew.errors import ConfigError, unknown
from fedskew.files import to_json
from fedskew.metric_names import PERCENT
from fedskew.splits import Split
from fedskew.study import PlannedRun, Study

EXTENSIONS = {"text": "txt", "markdown": "md", "csv": "csv", "latex": "tex", "json": "json"}


@dataclass(frozen=True)
class Sheet:
    """A titled table of text, the numbers behind it, and a name for its file."""

    slug: str
    title: str
    header: list[str]
    rows: list[list[str]]
    numbers: pd.DataFrame
    notes: tuple[str, ...] = ()


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


def render(sheet: Sheet, style: str) -> str:
    """One table as text, markdown, csv (numbers, not rounded) or latex (booktabs)."""
    match style:
        case "csv":
            return sheet.numbers.to_csv(index=False)
        case "json":
            return to_json({sheet.title: sheet.numbers.to_dict("records")}, indent=1) + "\n"
        case "markdown":
            return _markdown(sheet)
        case "latex":
            return _latex(sheet)
        case _:
            return _text(sheet)


def make_sheets(
    study: Study, planned: Sequence[PlannedRun], folder: Path, metrics: Sequence[str] = ()
) -> list[Sheet]:
    """The study's own table, and the paper's tables beside it where the study is the paper's."""
    results = results_table(planned, folder)
    measured = [
        c for c in results.columns if c not in (*study.axes, "seed", "run", "rounds", "stopped", "engine")
    ]
    for metric in metrics:
        if not results.empty and metric not in measured:
            raise ConfigError(*unknown("metric", metric, measured))
    shown = list(metrics) or [m for m in DEFAULT_METRICS if m in measured]
    summary = summary_table(results, study, shown)
    done, total = len(results), len(planned)
    shares = ", ".join(words(m) for m in shown if m in PERCENT)
    notes = ["mean ± sample standard deviation over seeds" + (f"; {shares} in percent" if shares else "")]
    if done < total:
        notes.append(f"{total - done} of {total} runs are not complete and are not in the table")
    if "engine" in results and results["engine"].nunique() > 1:
        notes.append("the runs were done by different engines: " + ", ".join(sorted(set(results["engine"]))))
    header = [*study.axes, *map(words, shown), "rounds", "seeds"]
    rows = [
        [
            *(str(row[axis]) for axis in study.axes),
            *(mean_std(row[m], row[f"{m} std"]) for m in shown),
            f"{row['rounds']:.1f}",
            str(row["seeds"]),
        ]
        for row in summary.to_dict("records")
    ]
    sheets = [Sheet("tables", study.name, header, rows, summary, tuple(notes))]
    if study.reference and {"alpha", "setting"} <= set(study.axes):
        everything = summary_table(results, study, ["accuracy", "bias", "backdoor_accuracy"])
        sheets.append(_paper_sheet(beside_paper(everything, study.reference), study))
    return sheets


def _paper_sheet(compared: pd.DataFrame, study: Study) -> Sheet:
    header = ["table", "alpha", "setting", "metric", "paper", "ours", "seeds"]
    rows = [
        [
            str(row["table"]),
            f"{row['alpha']:g}",
            str(row["setting"]),
            words(str(row["metric"])),
            mean_std(row["paper"], row["paper_std"]),
            mean_std(row["ours"], row["ours_std"]),
            str(row["seeds"]),
        ]
        for row in compared.to_dict("records")
    ]
    notes = ("percent, mean ± standard deviation; the paper's over 5 runs", study.description)
    return Sheet("paper", "beside the paper, Tables I-V", header, rows, compared, notes)


def _text(sheet: Sheet) -> str:
    widths = [max(len(row[i]) for row in [sheet.header, *sheet.rows]) for i in range(len(sheet.header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [sheet.header, ["-" * width for width in widths], *sheet.rows]
    ]
    return "\n".join([sheet.title, "", *lines, "", *sheet.notes, ""])


def _markdown(sheet: Sheet) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    body = [line(sheet.header), line(["---"] * len(sheet.header)), *map(line, sheet.rows)]
    return "\n".join([f"**{sheet.title}**", "", *body, "", *(f"{note}  " for note in sheet.notes), ""])


def _latex(sheet: Sheet) -> str:
    special = {
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "±": r"$\pm$",
        "{": r"\{",
        "}": r"\}",
    }
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(special.get(c, c) for c in cell) for cell in cells) + r" \\"

    return "\n".join(
        [
            "% " + " ".join(f"{sheet.title}; {'; '.join(sheet.notes)}".split()),
            rf"\begin{{tabular}}{{{'l' * len(sheet.header)}}}",
            r"\toprule",
            line(sheet.header),
            r"\midrule",
            *map(line, sheet.rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


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
    for number, name in enumerate(split.class_names):
        widest = len(str(split.counts[:, number].sum()))
        table.add_column(str(number) if numbered else name, justify="right", no_wrap=True, min_width=widest)
    table.add_column("all", justify="right", no_wrap=True, min_width=len(str(split.counts.sum())))
    bad = set(split.malicious)
    for client, counts in enumerate(split.counts):
        cells: list[Any] = [str(n) if n else "." for n in counts]
        table.add_row(f"{client}{'*' if client in bad else ''}", *cells, str(counts.sum()))
    table.add_section()
    table.add_row("all", *(str(n) for n in split.counts.sum(axis=0)), str(split.counts.sum()))
    return table
