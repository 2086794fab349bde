"""Accuracies of classes, or of groups, as a heat map: series x class, for each panel from left to right.

Each cell is the mean over seeds of the class accuracy after the last round, and has its number. Of many classes those
with the lowest and the highest mean are shown (``shown_classes``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import EDGE, Chart, Plate, finish, size_of
from fedskew.report.figures.panel import MIDDLE
from fedskew.report.figures.scene import Area, Group, Item, Scene, Words, rectangle
from fedskew.report.figures.style import LETTERS, MUTED, SMALL, contrast, cut, cut_middle, shade, text_width
from fedskew.report.figures.svg import inline
from fedskew.report.numbers import estimate_words, run_words
from fedskew.report.tables.classes import ClassTable, Shown
from fedskew.wording import count

MOST_LETTERS = 32
"""Of a series' name; a class's name, which is written upwards, has at most 18."""
CELL, ROW = 22.5, 21.5
"""Width and height of a cell."""
UNKNOWN = "–"
"""In a cell where nothing was measured, for example of a class that has no test images."""


def floor(tables: Sequence[ClassTable]) -> float:
    """Where the colour scale starts, a multiple of ten, the same for all tables; it ends at 100 %."""
    means = [cell.mean for table in tables for line in table.cells for cell in line]
    lowest = min((m for m in means if not math.isnan(m)), default=0.0)
    return min(90.0, 10 * math.floor(lowest / 10))


def heat_charts(evidence: Evidence, shown: Shown, start: float) -> list[Chart]:
    """A chart for each table, side by side in the page; ``start`` is the ``floor`` of all that are to be compared."""
    found = []
    for table in shown.tables:
        index = evidence.columns.index(table.column) if evidence.across else 0
        title = evidence.named(f"{table.what} [%]", table.title)
        told = f"{title}: one row per series, one column per {table.kind}; each cell shows its numbers"
        name = evidence.slug(f"{table.kinds}-{index}")
        left, _ = _margins(table)
        scene = Scene(*_size(table), _draw(evidence, table, start, left, EDGE, True, True))
        chosen = {"column": str(index), **evidence.chosen_by}
        svg = inline(scene, told)
        found.append(Chart(name, title, svg, chosen, note=shown.rule, size=size_of(scene.width)))
    return found


def heat_plate(evidence: Evidence, shown: Shown, start: float, slug: str) -> Plate:
    """The figure for a paper: the tables, at least one, below each other; ``start`` as for ``heat_charts``."""

    def make() -> Scene:
        tables = shown.tables
        left = max(_margins(table)[0] for table in tables)
        items: list[Item] = []
        top = 4.0
        for number, table in enumerate(tables):
            last = number == len(tables) - 1 or table.classes != tables[number + 1].classes
            if table.title:
                items.append(Words((left, top + 14), table.title, LETTERS + 0.5))
            top += 20
            items += _draw(evidence, table, start, left, top, last, number == len(tables) - 1)
            top += ROW * len(table.series) + (_margins(table)[1] if last else 6)
        what = tables[0].what.capitalize()
        about = f"{what} after the last round, mean over seeds in percent; colours from {start:.0f} to 100."
        notes = [evidence.note(about), shown.rule, evidence.series_rule, evidence.panel_rule]
        wide = max(_size(table)[0] - _margins(table)[0] for table in tables) + left
        return finish(items, max(wide, 240.0), top, [], notes)

    return Plate(evidence.slug(slug), make)


def _margins(table: ClassTable) -> tuple[float, float]:
    """Room for the names of the series on the left and of the classes below."""
    left = max(text_width(cut(name, MOST_LETTERS), SMALL) for name in table.series)
    below = max(text_width(cut_middle(name, 18), SMALL) for name in table.classes)
    return 27 + left, 22 + (SMALL if _short(table) else below)


def _size(table: ClassTable) -> tuple[float, float]:
    left, below = _margins(table)
    return left + EDGE + max(CELL * len(table.classes), 108), EDGE + ROW * len(table.series) + below


def _short(table: ClassTable) -> bool:
    """Whether the names of the classes fit below their columns."""
    return max(map(len, table.classes)) <= 2


def _draw(
    evidence: Evidence, table: ClassTable, start: float, left: float, top: float, names: bool, label: bool
) -> list[Item]:
    """One table; ``names``, ``label``: whether the classes are named below it, and what they are."""
    items: list[Item] = []
    base = top + ROW * len(table.series)
    for row, (series, cells) in enumerate(zip(table.series, table.cells, strict=True)):
        y = top + ROW * row
        data = {"series": str(list(evidence.series).index(series))}
        where = ", ".join(filter(None, [series, table.title]))
        name_at = (left - 6, y + ROW / 2 + MIDDLE * SMALL)
        row_name = Words(name_at, cut(series, MOST_LETTERS), SMALL, "end")
        runs = max((cell.runs for cell in cells), key=len)
        drawn: list[Item] = [Group([row_name], told=f"{where}\n{count(len(runs), 'run')}: {run_words(runs)}")]
        for at, (name, cell) in enumerate(zip(table.classes, cells, strict=True)):
            x = left + CELL * at
            told = f"{where}, {table.kind} {name}\n"
            middle = (x + CELL / 2, y + ROW / 2 + MIDDLE * 8)
            if math.isnan(cell.mean):
                told += table.unknown
                inside: list[Item] = [Words(middle, UNKNOWN, 8, "middle", MUTED)]
            else:
                told += estimate_words(
                    table.what.removeprefix(f"{table.kind} "), replace(cell, runs=()), " %"
                )  # the row's name tells them
                fill = shade((cell.mean - start) / (100 - start))
                # Not the page's own colours: a cell keeps its own.
                letters = max(("#0a0a0a", "#fafafa"), key=partial(contrast, fill))
                corners = rectangle(x, y, x + CELL, y + ROW)
                inside = [Area(corners, fill), Words(middle, f"{cell.mean:.0f}", 8, "middle", letters)]
            drawn.append(Group(inside, told=told))
        items.append(Group(drawn, data))
    for at, name in enumerate(table.classes if names else ()):
        x, word = left + CELL * (at + 0.5), cut_middle(name, 18)
        if _short(table):
            items.append(Words((x, base + 5 + 0.75 * SMALL), word, SMALL, "middle"))
        else:
            items.append(Words((x + MIDDLE * SMALL, base + 5), word, SMALL, "end", turned=True))
    if label:
        middle_x = left + CELL * len(table.classes) / 2
        items.append(Words((middle_x, base + _margins(table)[1] - 5), table.kind, LETTERS, "middle"))
    side = cut(evidence.series_title, 18)
    if text_width(side) <= base - top + 20:
        items.append(Words((11, (top + base) / 2), side, LETTERS, "middle", turned=True))
    return items
