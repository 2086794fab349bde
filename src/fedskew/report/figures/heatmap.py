"""Class accuracies as a heat map: series x class, for each label of the axis from left to right.

Each cell is the mean over seeds of the class accuracy after the last round. The colours are matplotlib's cividis,
which looks alike with and without colour-blindness and in print; every cell has its number.
"""

from __future__ import annotations

import math
from functools import partial

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Chart, Groups, Plate, make_chart
from fedskew.report.figures.style import contrast
from fedskew.report.numbers import estimate_words
from fedskew.report.tables.classes import ClassTable

MOST_LETTERS = 32
"""Of a series' name; a class's name, which is written upwards, has at most 18."""


def floor(tables: list[ClassTable]) -> float:
    """Where the colour scale starts, a multiple of ten, the same for all tables; it ends at 100 %."""
    means = [cell.mean for table in tables for line in table.cells for cell in line]
    lowest = min((m for m in means if not math.isnan(m)), default=0.0)
    return min(90.0, 10 * math.floor(lowest / 10))


def heat_charts(evidence: Evidence, tables: list[ClassTable], start: float) -> list[Chart]:
    """A chart for each table, side by side in the page; ``start`` is the ``floor`` of all that are to be compared."""
    found = []
    for table in tables:
        width, height = _size(table)
        index = evidence.columns.index(table.column) if evidence.across else 0
        title = evidence.named("class accuracy [%]", table.title)
        chart = make_chart(
            evidence.slug(f"classes-{index}"),
            title,
            f"{title}: one row per series, one column per class; each cell shows its numbers",
            lambda axes, table=table: draw(axes, evidence, table, start),  # type: ignore[misc]
            {"column": str(index), **evidence.chosen_by},
            (width, height),
            margins=_margins(table),
        )
        found.append(chart)
    return found


def heat_plate(evidence: Evidence, tables: list[ClassTable], start: float) -> Plate:
    """The figure for a paper: the tables below each other; ``start`` as for ``heat_charts``."""

    def make() -> Figure:
        width = max(_size(table)[0] for table in tables)
        rows = sum(len(table.series) for table in tables)
        height = 0.27 * rows + 0.4 * len(tables) + max(_margins(table)[1] for table in tables)
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(
            len(tables), 1, squeeze=False, height_ratios=[len(table.series) for table in tables]
        )[:, 0]
        for number, (panel, table) in enumerate(zip(panels, tables, strict=True)):
            draw(panel, evidence, table, start)
            panel.set_title(table.title)
            if number < len(tables) - 1 and table.classes == tables[-1].classes:
                panel.set_xticks(panel.get_xticks(), [""] * len(table.classes))
                panel.set_xlabel("")
        return figure

    words = (
        f"Class accuracy after the last round, mean over seeds in percent; colours from {start:.0f} to 100"
    )
    return Plate(evidence.slug("class-accuracy"), evidence.caption(words), make)


def _margins(table: ClassTable) -> tuple[float, float]:
    """Room for the names of the series on the left and of the classes below, in inches."""
    left = max(len(_cut(name, MOST_LETTERS)) for name in table.series)
    below = max(len(_cut(name)) for name in table.classes)
    return 0.4 + 0.082 * left, 0.5 if below <= 2 else 0.35 + 0.068 * below


def _size(table: ClassTable) -> tuple[float, float]:
    left, below = _margins(table)
    return left + 0.12 + max(0.31 * len(table.classes), 1.5), below + 0.12 + 0.3 * len(table.series)


def draw(axes: Axes, evidence: Evidence, table: ClassTable, start: float) -> Groups:
    """Draws one table; returns what each cell shows under the pointer."""
    groups: Groups = {}
    colours = mpl.colormaps["cividis"]
    for row, (series, cells) in enumerate(zip(table.series, table.cells, strict=True)):
        number = str(list(evidence.series).index(series))
        for at, (name, cell) in enumerate(zip(table.classes, cells, strict=True)):
            if math.isnan(cell.mean):
                continue
            shade = to_hex(colours((cell.mean - start) / (100 - start)))
            gid = f"cell{row}-{at}"
            where = ", ".join(
                [evidence.named(series), *([table.title] if table.title else []), f"class {name}"]
            )
            groups[gid] = {
                "title": where + "\n" + estimate_words("accuracy", cell, " %"),
                "data-series": number,
            }
            axes.add_patch(Rectangle((at - 0.5, row - 0.5), 1, 1, facecolor=shade, gid=gid))
            letters = max(("#0a0a0a", "#fafafa"), key=partial(contrast, shade))
            axes.text(
                at,
                row,
                f"{cell.mean:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color=letters,  # not the page's own: a cell keeps its colours
                gid=f"number{row}-{at}",
            )
            groups[f"number{row}-{at}"] = {"class": "number", "data-series": number}
    axes.set_xlim(-0.5, len(table.classes) - 0.5)
    axes.set_ylim(len(table.series) - 0.5, -0.5)
    short = max(map(len, table.classes)) <= 2
    axes.set_xticks(range(len(table.classes)), [_cut(c) for c in table.classes], rotation=0 if short else 90)
    axes.set_yticks(range(len(table.series)), [_cut(name, MOST_LETTERS) for name in table.series])
    axes.set_xlabel("class")
    axes.set_ylabel(_cut(evidence.series_title))
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return groups


def _cut(text: str, most: int = 18) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
