"""What the figures of a report have in common: a chart in the page, a figure in a file, legends.

A *chart* is one small panel with what it may be chosen by: metric, what is on the x axis, which label of the axis
from left to right it belongs to. A *plate* is a whole figure for a paper, several panels and a legend, written as
SVG and PNG.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from fedskew.report.figures.panel import MIDDLE
from fedskew.report.figures.scene import Item, Line, Marks, Scene, Words
from fedskew.report.figures.style import LETTERS, MUTED, SMALL, cut, look, text_width
from fedskew.report.figures.svg import inline

WIDTH, HEIGHT = 237.0, 176.0
"""Of a chart in the page, in points."""
MEDIUM, BROAD = 221.0, 420.0
"""A wider chart than the one is not made smaller on a narrow page, than the other has none beside it."""
EDGE = 9.0
"""What is left free beside a figure."""


@dataclass(frozen=True)
class Chart:
    """One panel in the page.

    Attributes:
        name: its id in the page.
        chosen_by: data attributes, without ``data-``: a control of the page hides the chart if they do not match.
        curve: what the page's script needs to read exact values off it; None where the points carry their own.
        note: what it leaves out, in a sentence; "" for nothing.
        size: ``size_of`` its width; "" for a chart of the usual size.
    """

    name: str
    title: str
    svg: Markup
    chosen_by: dict[str, str] = field(default_factory=dict)
    curve: dict[str, Any] | None = None
    note: str = ""
    size: str = ""


def size_of(width: float) -> str:
    """The class of a chart of some width in the page's style sheet."""
    return "broad" if width > BROAD else "medium" if width > MEDIUM else ""


@dataclass(frozen=True)
class Plate:
    """One figure for a file; ``slug`` is the file's name without its ending, ``draw`` makes it."""

    slug: str
    draw: Callable[[], Scene]


@dataclass(frozen=True)
class Entry:
    """One entry of a legend."""

    name: str
    colour: str
    marker: str | None
    dash: tuple[float, ...]


def entries(series: Sequence[str]) -> list[Entry]:
    """One entry per series, with its colour, mark and line."""
    looks = [look(number) for number in range(len(series))]
    return [
        Entry(name, style.colour, style.marker, style.line) for name, style in zip(series, looks, strict=True)
    ]


def finish(
    items: Sequence[Item], width: float, height: float, legend: Sequence[Entry], notes: Sequence[str]
) -> Scene:
    """A plate: its panels, the legend below them in as many lines as it needs, and notes that are not empty."""
    found, y = list(items), height
    if legend:
        column = max(text_width(cut(one.name, 60)) for one in legend) + 42
        across = max(1, min(len(legend), int((width - 2 * EDGE) / column)))
        lines = [legend[at : at + across] for at in range(0, len(legend), across)]
        for line in lines:
            room = (
                [column] * across if len(lines) > 1 else [text_width(cut(one.name, 60)) + 42 for one in line]
            )
            x = max(EDGE, (width - sum(room)) / 2)
            for one, wide in zip(line, room, strict=False):
                found += _swatch(one, x, y)
                found.append(Words((x + 27, y + MIDDLE * LETTERS), cut(one.name, 60)))
                x += wide
            y += 13.0
        y += 4.0
    y += 0.0 if legend else 6.0
    for note in filter(None, notes):
        for words in textwrap.wrap(note, max(30, int((width - 2 * EDGE) / (0.56 * SMALL)))):
            found.append(Words((EDGE, y + MIDDLE * SMALL), words, SMALL, colour=MUTED))
            y += 11.5
    return Scene(width, y, found)


def _swatch(one: Entry, x: float, y: float) -> list[Item]:
    line: list[Item] = [Line([[(x, y), (x + 20, y)]], one.colour, dash=one.dash)]
    return line + ([Marks([(x + 10, y)], one.marker, one.colour)] if one.marker else [])


def swatches(series: Sequence[str]) -> list[Markup]:
    """One small picture of line and mark per series, for the page's own legend."""
    return [inline(Scene(32, 13, _swatch(entry, 6, 6.5)), "") for entry in entries(series)]
