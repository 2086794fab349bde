"""Class accuracies of each cell, mean over seeds after the last round: the numbers and their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fedskew.analysis import Estimate, estimate
from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.numbers import mean_std
from fedskew.report.tables.sheet import Sheet


@dataclass(frozen=True)
class ClassTable:
    """Class accuracies of one label of the axis from left to right, in percent: [series][class]."""

    title: str
    column: Any
    series: list[str]
    classes: list[str]
    cells: list[list[Estimate]]


def class_tables(evidence: Evidence, names: tuple[str, ...] = ()) -> list[ClassTable]:
    """One table per label that has complete runs; classes are numbered where their names are not known."""
    scale = meaning("accuracy").scale
    found = []
    for title, column in evidence.facets:
        rows: dict[str, list[Estimate]] = {}
        for series in evidence.series:
            runs = list(evidence.cell(series, column)["run"]) if evidence.done else []
            runs = [run for run in runs if evidence.records[run]]
            last = [evidence.records[run][-1].per_class_accuracy for run in runs]
            if not last or len({len(one) for one in last}) > 1:
                continue
            rows[series] = [estimate([scale * one[c] for one in last], runs) for c in range(len(last[0]))]
        widths = {len(cells) for cells in rows.values()}
        if len(widths) == 1:
            many = widths.pop()
            classes = list(names) if len(names) == many else [str(c) for c in range(many)]
            found.append(ClassTable(title, column, list(rows), classes, list(rows.values())))
    return found


def classes_sheet(evidence: Evidence, tables: Sequence[ClassTable]) -> Sheet | None:
    """Class accuracies; None where they are not known or the classes differ from cell to cell."""
    if not tables or len({tuple(table.classes) for table in tables}) > 1:
        return None
    across = [evidence.across] if evidence.across else []
    rows, plain, runs = [], [], []
    for table in tables:
        for series, cells in zip(table.series, table.cells, strict=True):
            where = [str(table.column)] if across else []
            rows.append([*where, series, *(mean_std(cell.mean, cell.std) for cell in cells)])
            values = {f"{name}": cell.mean for name, cell in zip(table.classes, cells, strict=True)}
            spread = {f"{name} std": cell.std for name, cell in zip(table.classes, cells, strict=True)}
            plain.append(
                {**dict(zip(across, where, strict=True)), evidence.series_title: series, **values, **spread}
            )
            runs.append(cells[0].runs)
    header = [*across, evidence.series_title, *tables[0].classes]
    notes = ("percent of the class's test images after the last round, mean ± standard deviation over seeds",)
    return Sheet(
        "class-accuracy", "Class accuracies", header, rows, pd.DataFrame(plain), notes, len(across) + 1, tuple(runs)
    )  # fmt: skip
