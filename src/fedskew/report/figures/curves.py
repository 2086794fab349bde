"""Curves over rounds: the mean over the seeds of a cell, with the range of its seeds as a band.

Runs stop when their rule says so, not all in the same round. A curve is solid while all of its seeds run and dotted
while only some do, where its mean is one over fewer runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fedskew.evaluation.metric_table import PERCENT
from fedskew.protocols import RoundRecord
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import (
    Chart,
    Groups,
    Plate,
    add_legend,
    legend_handles,
    make_chart,
    scale,
    unit,
)
from fedskew.report.figures.style import MUTED, look, percent_limits

MOST_POINTS = 160
"""Of one curve; more rounds are thinned, and the page says so."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One metric of one cell over rounds; all arrays have one entry per round that is shown.

    Attributes:
        number: of its series, which gives it its look.
        shown: the series' number in the page's controls, and "" where these do not choose it.
        full: how many of the first entries have all seeds.
        dashed: the second curve of a series, e.g. the malicious clients'.
    """

    label: str
    number: int
    rounds: Values
    mean: Values
    low: Values
    high: Values
    seeds: npt.NDArray[np.int64]
    full: int
    dashed: bool = False
    thinned: int = 1


def value(record: RoundRecord, metric: str) -> float:
    """A metric or an entry of the defence's trace, as it is shown; NaN if the round has none."""
    found = record.metrics.get(metric, record.trace.get(metric, math.nan))
    return float(found) * scale(metric)


def curve(
    evidence: Evidence, series: str, column: Any, metric: str, label: str = "", dashed: bool = False
) -> Curve | None:
    """The curve of a cell; None if no complete run of it has the metric."""
    rows = evidence.cell(series, column)
    runs = [evidence.records[run] for run in rows["run"]] if len(rows) else []
    runs = [records for records in runs if any(not math.isnan(value(r, metric)) for r in records)]
    if not runs:
        return None
    longest, shortest = max(map(len, runs)), min(map(len, runs))
    table = np.full((len(runs), longest), np.nan)
    for row, records in enumerate(runs):
        table[row, : len(records)] = [value(record, metric) for record in records]
    there = [k for k in range(longest) if not np.isnan(table[:, k]).all()]
    step = math.ceil(len(there) / MOST_POINTS)
    kept = sorted({*there[::step], *({shortest - 1} & {*there}), there[-1]})
    part = table[:, kept]
    return Curve(
        label or series,
        list(evidence.series).index(series),
        np.array([k + 1.0 for k in kept]),
        np.nanmean(part, axis=0),
        np.nanmin(part, axis=0),
        np.nanmax(part, axis=0),
        (~np.isnan(part)).sum(axis=0),
        sum(k < shortest for k in kept),
        dashed,
        step,
    )


def facets(evidence: Evidence) -> list[tuple[str, Any]]:
    """(title, label) of the panels: one for each label of the axis from left to right."""
    if evidence.across is None:
        return [("", None)]
    return [(f"{evidence.across} {label}", label) for label in evidence.columns]


def cell_curves(evidence: Evidence, column: Any, metric: str) -> list[Curve]:
    """The curves of one panel: one per series."""
    found = (curve(evidence, series, column, metric) for series in evidence.series)
    return [one for one in found if one is not None]


def paired_curves(
    evidence: Evidence, column: Any, first: tuple[str, str], second: tuple[str, str]
) -> list[Curve]:
    """Two metrics of each series in one panel, the second dashed; each is (metric, what it is about)."""
    found = []
    for series in evidence.series:
        for (metric, about), dashed in ((first, False), (second, True)):
            label = f"{series}: {about}"
            found.append(curve(evidence, series, column, metric, label, dashed))
    return [one for one in found if one is not None]


def shared_limits(curves: Sequence[Curve]) -> tuple[float, float, float]:
    """Lowest and highest value and last round of several panels that are to be compared."""
    if not curves:
        return math.nan, math.nan, 1.0
    lowest = min(float(np.nanmin(one.low)) for one in curves)
    highest = max(float(np.nanmax(one.high)) for one in curves)
    return lowest, highest, max(float(one.rounds[-1]) for one in curves)


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
            "unit": unit(metric),
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


def curves_plate(
    evidence: Evidence, slug: str, caption: str, rows: Sequence[tuple[str, str, Callable[[Any], list[Curve]]]]
) -> Plate:
    """The figure for a paper: one row per metric, one panel per label of the axis from left to right.

    Args:
        rows: (metric, its words, function of the label that gives the curves of the panel).
    """

    def make() -> Figure:
        across = facets(evidence)
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
            handles.append(Line2D([], [], color=MUTED, linestyle=(0, (4, 2)), label="malicious"))
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
            markevery=(
                min(one.number * step // 3, max(one.full - 1, 0)),
                step,
            ),  # side by side, not on each other
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
    percent_limits(axes, low, high, share=metric in PERCENT)
    axes.set_xlim(1 - 0.01 * last, max(last, 2) * 1.01)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    return groups


def _digits(values: Values) -> list[float | None]:
    """As many as a reader is shown (``script.js``): three decimals below 10, else two."""
    return [round(float(v), 3 if abs(v) < 10 else 2) if math.isfinite(v) else None for v in values]
