"""What the figures of a report have in common: a chart in the page, and a figure in a file.

A *chart* is one small panel with what it may be chosen by: metric, what is on the x axis, which label of the axis
from left to right it belongs to. A *plate* is a whole figure for a paper, several panels and a legend, written as
SVG and PNG.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fedskew.report.figures.style import figure_style, look
from fedskew.report.figures.svg import inline

WIDTH, HEIGHT = 3.3, 2.45
"""Of a chart in the page, in inches."""

Groups = dict[str, dict[str, str]]
"""gid of an artist -> attributes of its group in the page (``svg.inline``)."""


@dataclass(frozen=True)
class Chart:
    """One panel in the page.

    Attributes:
        name: its id in the page.
        chosen_by: data attributes, without ``data-``: a control of the page hides the chart if they do not match.
        curve: what the page's script needs to read exact values off it; None where the points carry their own.
    """

    name: str
    title: str
    svg: Markup
    chosen_by: dict[str, str] = field(default_factory=dict)
    curve: dict[str, Any] | None = None


@dataclass(frozen=True)
class Plate:
    """One figure for a file.

    Attributes:
        slug: the file's name without its ending.
        draw: makes it; called within ``figure_style("paths")``.
    """

    slug: str
    caption: str
    draw: Callable[[], Figure]


def make_chart(
    name: str,
    title: str,
    label: str,
    draw: Callable[[Axes], Groups],
    chosen_by: dict[str, str] | None = None,
    size: tuple[float, float] = (WIDTH, HEIGHT),
    margins: tuple[float, float] = (0.52, 0.44),
    curve: Callable[[Axes], dict[str, Any]] | None = None,
) -> Chart:
    """Draws one panel and turns it into an element of the page.

    Args:
        label: what it shows in words, for a screen reader.
        size, margins: width and height; what is left free on the left and below; in inches.
        curve: called with the finished axes, for ``Chart.curve``.
    """
    with figure_style("text"):
        # Fixed margins, not a layout engine: panels beside each other have the same frame, and are made at once.
        figure = Figure(figsize=size, facecolor="none")
        left, bottom = margins[0] / size[0], margins[1] / size[1]
        axes = figure.add_axes((left, bottom, 1 - left - 0.12 / size[0], 1 - bottom - 0.12 / size[1]))
        groups = draw(axes)
        # Where the label goes is known, so matplotlib need not measure every tick to find out.
        axes.xaxis.set_label_coords(0.5, (0.03 - bottom) / (1 - bottom - 0.12 / size[1]))
        axes.xaxis.label.set_verticalalignment("bottom")
        drawn = inline(figure, name, label, groups)
        read = curve(axes) if curve else None
    return Chart(name, title, drawn, chosen_by or {}, read)


def legend_handles(series: Sequence[str]) -> list[Artist]:
    """One entry per series, with its colour, marker and line."""
    looks = [look(number) for number in range(len(series))]
    return [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle=style.line, label=name)
        for name, style in zip(series, looks, strict=True)
    ]


def add_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend below the panels of a plate, in as many lines as it needs."""
    if not handles:
        return
    longest = max(len(str(handle.get_label())) for handle in handles)
    across = min(len(handles), max(1, int(figure.get_figwidth() * 13 / (longest + 8))))
    lines = -(-len(handles) // across)
    # A legend of many lines takes no room from the panels.
    figure.set_figheight(figure.get_figheight() + 0.18 * max(0, lines - 2))
    figure.legend(handles=list(handles), loc="outside lower center", ncols=across)


def swatches(series: Sequence[str]) -> list[Markup]:
    """One small picture of line and marker per series, for the page's own legend."""
    found = []
    for number in range(len(series)):
        style = look(number)
        with figure_style("text"):
            figure = Figure(figsize=(0.44, 0.18), facecolor="none")
            axes = figure.add_axes((0, 0, 1, 1))
            axes.set_axis_off()
            axes.plot([0, 1, 2], [0, 0, 0], color=style.colour, linestyle=style.line)
            axes.plot([1], [0], color=style.colour, marker=style.marker, markersize=6)
            axes.set(xlim=(0, 2), ylim=(-1, 1))
            found.append(inline(figure, f"swatch-{number}", ""))
    return found
