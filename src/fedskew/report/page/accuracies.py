"""What the page shows of the accuracies of classes, of groups of images and of clients: heat maps and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Chart
from fedskew.report.figures.heatmap import floor, heat_charts
from fedskew.report.tables.classes import (
    ClassTable,
    Shown,
    class_tables,
    classes_sheet,
    client_tables,
    group_tables,
    shown_classes,
)
from fedskew.report.tables.sheet import Sheet


@dataclass(frozen=True)
class Accuracies:
    """Of the classes, or of the groups; empty where nothing says them.

    Attributes:
        shown: the tables of each part that are drawn.
        start: where the colour scale of all of them starts.
        charts: the heat maps.
        sheets: the table of all of them, or none.
    """

    shown: list[Shown]
    start: float
    charts: list[Chart]
    sheets: list[Sheet]


def class_accuracies(evidence: Evidence, parts: Sequence[Evidence], names: tuple[str, ...]) -> Accuracies:
    """Those of the classes, which have these names if they are known."""
    whole = class_tables(evidence, names, everywhere=True)
    return _accuracies(evidence, parts, whole, [class_tables(part, names) for part in parts])


def group_accuracies(evidence: Evidence, parts: Sequence[Evidence]) -> Accuracies:
    """Those of the groups."""
    return _accuracies(
        evidence, parts, group_tables(evidence, everywhere=True), [group_tables(part) for part in parts]
    )


def client_sheets(evidence: Evidence) -> list[Sheet]:
    """The table of clients with names, or none."""
    sheet = classes_sheet(evidence, client_tables(evidence))
    return [sheet] if sheet else []


def _accuracies(
    evidence: Evidence, parts: Sequence[Evidence], whole: list[ClassTable], drawn: list[list[ClassTable]]
) -> Accuracies:
    shown = [shown_classes(tables) for tables in drawn]
    start = floor([table for one in shown for table in one.tables])
    charts = [
        chart for part, one in zip(parts, shown, strict=True) for chart in heat_charts(part, one, start)
    ]
    sheet = classes_sheet(evidence, whole)
    return Accuracies(shown, start, charts, [sheet] if sheet else [])
