"""A paper's published numbers with ours beside them: all in one table, and each table in the paper's own form."""

from __future__ import annotations

from typing import Any

from fedskew.evaluation.metric_table import meaning
from fedskew.papers import Paper, Published
from fedskew.report.numbers import mean_std, number
from fedskew.report.tables.sheet import Sheet


def paper_sheets(published: Published, description: str = "") -> list[Sheet]:
    """All published numbers beside ours in one table, then each of the paper's tables.

    Args:
        description: of the study, for a note below the first table.
    """
    paper = published.paper
    notes = (
        f"percent, mean ± standard deviation; the paper's over {paper.runs} runs",
        "difference: ours minus the paper's, divided by the root of the sum of both squared standard deviations",
    )
    tables = list(paper.tables)
    flat = Sheet(
        "paper",
        f"beside the paper, Tables {tables[0]}-{tables[-1]}",
        ["table", *paper.axes, "metric", "paper", "ours", "difference", "seeds"],
        [
            [
                str(row["table"]),
                *(_label(row[axis]) for axis in paper.axes),
                meaning(str(row["metric"])).label,
                *_beside(row),
                str(row["seeds"]),
            ]
            for row in published.numbers.to_dict("records")
        ],
        published.numbers,
        (*notes, *([description] if description else [])),
        headings=2 + len(paper.axes),
    )
    return [flat, *(_paper_form(published, table, notes) for table in tables)]


def _paper_form(published: Published, table: str, notes: tuple[str, ...]) -> Sheet:
    """One table with the paper's rows and columns, each number of the paper followed by ours."""
    paper, numbers = published.paper, published.numbers
    part = numbers[numbers["table"] == table]
    metrics = list(dict.fromkeys(part["metric"]))
    down, *others = paper.axes
    header = [paper.axes[down]]
    for metric in metrics:
        label = meaning(metric).label
        header += [f"{label}, paper", f"{label}, ours", "difference"]
    rows = []
    for place in dict.fromkeys(part[down]):
        row = [_label(place)]
        for metric in metrics:
            entry = part[(part[down] == place) & (part["metric"] == metric)].iloc[0]
            row += _beside(entry.to_dict())
        rows.append(row)
    where = ", ".join(str(label) for axis in others for label in dict.fromkeys(part[axis]))
    title = f"Table {table}. {paper.tables[table]} ({where})"
    return Sheet(f"paper-table-{table}", title, header, rows, part, notes)


def tables_words(paper: Paper) -> str:
    """Which tables it has, and whose they are: "Tables I to V of Ozdayi & Kantarcioglu (2021)"."""
    tables = list(paper.tables)
    return f"Tables {tables[0]} to {tables[-1]} of {paper.short}"


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _beside(entry: dict[Any, Any]) -> list[str]:
    return [
        mean_std(entry["paper"], entry["paper_std"]),
        mean_std(entry["ours"], entry["ours_std"]),
        number(entry["z"], 1, sign=True),
    ]
