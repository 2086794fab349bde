"""Curves over rounds: the mean over the seeds of a cell, with the range of its seeds as a band.

A curve is solid while all of its seeds run and dotted while only some do.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Chart, Groups, Plate, add_legend, legend_handles, make_chart
from fedskew.report.figures.style import MUTED, look, percent_limits
from fedskew.report.rounds import UPDATES, Curve, Values, cell_curves, paired_curves, shared_limits


def curve_chart(
    name: str,
    title: str,
    metric: str,
    curves: Sequence[Curve],
    limits: tuple[float, float, float],
    chosen_by: dict[str, str],
) -> Chart:
    """A chart in the page; the script reads each round's exact values from its ``curve``."""

    def read(axes: Axes) -> dict[str, Any]:
        box, limits = axes.get_position(), axes.get_xlim()
        return {
            "unit": meaning(metric).suffix,
            # Where the axes lie in the figure: left, top, right, bottom as shares of its width and height.
            "box": [round(v, 4) for v in (box.x0, 1 - box.y1, box.x1, 1 - box.y0)],
            "rounds": [round(v, 3) for v in limits],
            "curves": [
                {
                    "label": one.label,
                    "series": str(one.number),
                    "round": one.rounds.astype(int).tolist(),
                    "mean": _digits(one.mean),
                    "low": _digits(one.low),
                    "high": _digits(one.high),
                    "seeds": one.seeds.tolist(),
                }
                for one in curves
            ],
        }

    label = f"{title}: mean over seeds per round, one line per series; arrow keys move through the rounds"
    return make_chart(
        name, title, label, lambda axes: draw(axes, metric, curves, limits), chosen_by, curve=read
    )


def curve_rows(parts: Sequence[Evidence], metrics: list[str]) -> tuple[list[list[Chart]], int]:
    """One row of charts per metric and part, and how much the longest curve is thinned."""
    rows, thinned = [], 1
    for metric, part in itertools.product(metrics, parts):
        panels = [cell_curves(part, column, metric) for _, column in part.facets]
        thinned = max([thinned, *(one.thinned for curves in panels for one in curves)])
        rows.append(
            _row(part, f"rounds-{metric}", meaning(metric).heading, metric, panels, {"metric": metric})
        )
    return [row for row in rows if row], thinned


def update_rows(evidence: Evidence) -> list[list[Chart]]:
    """One row of charts for each of ``UPDATES``."""
    rows = []
    for words, first, second in UPDATES:
        panels = [paired_curves(evidence, column, first, second) for _, column in evidence.facets]
        rows.append(_row(evidence, f"updates-{words}", words, first[0], panels, {}))
    return [row for row in rows if row]


def _row(
    evidence: Evidence,
    name: str,
    words: str,
    metric: str,
    panels: list[list[Curve]],
    chosen_by: dict[str, str],
) -> list[Chart]:
    """Charts of one metric, one per label of the axis from left to right, on the same scale."""
    limits = shared_limits([curve for curves in panels for curve in curves])
    found = []
    for number, ((title, _), curves) in enumerate(zip(evidence.facets, panels, strict=True)):
        if curves:
            place = evidence.slug(re.sub(r"[^A-Za-z0-9]+", "-", f"{name}-{number}"))
            chosen = {**chosen_by, "column": str(number), **evidence.chosen_by}
            found.append(curve_chart(place, evidence.named(words, title), metric, curves, limits, chosen))
    return found


def curves_plate(
    evidence: Evidence, slug: str, caption: str, rows: Sequence[tuple[str, str, Callable[[Any], list[Curve]]]]
) -> Plate:
    """The figure for a paper: one row per metric, one panel per label of the axis from left to right.

    Args:
        rows: (metric, its words, function of the label that gives the curves of the panel).
    """

    def make() -> Figure:
        across = evidence.facets
        figure = Figure(figsize=(2.65 * len(across) + 0.4, 2.3 * len(rows) + 0.5), layout="constrained")
        panels = figure.subplots(len(rows), len(across), squeeze=False, sharey="row")
        dashed = False
        for number, (line, (metric, words, made)) in enumerate(zip(panels, rows, strict=True)):
            first, last = number == 0, number == len(rows) - 1
            curves = [made(column) for _, column in across]
            limits = shared_limits([one for some in curves for one in some])
            dashed = dashed or any(one.dashed for some in curves for one in some)
            for panel, (title, _), some in zip(line, across, curves, strict=True):
                draw(panel, metric, some, limits)
                panel.set_xlabel("round" if last else "")
                panel.set_title(title if first else "")
            line[0].set_ylabel(words)
        handles = legend_handles(list(evidence.series)) if len(evidence.series) > 1 else []
        if dashed:
            handles.append(Line2D([], [], color=MUTED, linestyle=(0, (4, 2)), label="adversaries"))
        add_legend(figure, handles)
        return figure

    return Plate(evidence.slug(slug), evidence.caption(caption), make)


def draw(axes: Axes, metric: str, curves: Sequence[Curve], limits: tuple[float, float, float]) -> Groups:
    """Draws the curves of one panel."""
    groups: Groups = {}
    for index, one in enumerate(curves):
        style = look(one.number)
        name = f"curve{index}"
        band = axes.fill_between(one.rounds, one.low, one.high, color=style.colour, alpha=0.16, linewidth=0)
        band.set_gid(f"{name}-band")
        line: Any = (0, (4, 2)) if one.dashed else style.line
        whole, rest = slice(0, one.full), slice(max(one.full - 1, 0), None)
        step = max(1, one.full // 6)
        axes.plot(
            one.rounds[whole],
            one.mean[whole],
            color=style.colour,
            linestyle=line,
            linewidth=1.4,
            marker=style.marker,
            markersize=4,
            markevery=(min(one.number * step // 3, max(one.full - 1, 0)), step),  # no marker hides another
            gid=f"{name}-all",
        )
        axes.plot(
            one.rounds[rest],
            one.mean[rest],
            color=style.colour,
            linestyle=(0, (1, 1.6)),
            linewidth=1.1,
            gid=f"{name}-some",
        )
        for part in ("band", "all", "some"):
            groups[f"{name}-{part}"] = {"data-series": str(one.number)}
    axes.set_xlabel("round")
    axes.grid(axis="y")
    low, high, last = limits
    percent_limits(axes, low, high, share=meaning(metric).is_share)
    axes.set_xlim(1 - 0.01 * last, max(last, 2) * 1.01)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    return groups


def _digits(values: Values) -> list[float | None]:
    """As many as a reader is shown (``script.js``): three decimals below 10, else two."""
    return [round(float(v), 3 if abs(v) < 10 else 2) if math.isfinite(v) else None for v in values]
