"""A metric over heterogeneity: mean and 95 % interval over seeds, one line per series.

What goes from left to right is the study's own axis (``alpha``: the smaller, the more uneven the data, so that the
axis runs from large to small), or a skew that was measured on the honest clients' data of each run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from fedskew.analysis import Estimate, estimate
from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import (
    Chart,
    Groups,
    Plate,
    add_legend,
    legend_handles,
    make_chart,
)
from fedskew.report.figures.style import look, percent_limits
from fedskew.report.numbers import estimate_words

SKEWS = {
    "skew_total_variation": "mean total variation distance",
    "skew_effective_classes": "effective classes per client",
}
"""The measures of skew that a reader can choose for the x axis (partition/heterogeneity.py)."""

REVERSED = {"skew_effective_classes"}
"""Measures that are smaller where the data is more uneven, as ``alpha`` is."""


def choices(evidence: Evidence) -> dict[str, str]:
    """What the x axis can be: key -> words."""
    found = {} if evidence.across is None else {"axis": evidence.across}
    return found | {name: SKEWS[name] for name in evidence.measured(tuple(SKEWS))}


def heterogeneity_charts(evidence: Evidence, metrics: Sequence[str]) -> list[Chart]:
    """A chart for each metric and each choice of the x axis."""
    found = []
    for metric in metrics:
        for key, words in choices(evidence).items():
            found.append(
                make_chart(
                    evidence.slug(f"over-{key}-{metric}".replace("_", "-")),
                    evidence.named(meaning(metric).heading),
                    f"{evidence.named(meaning(metric).heading)} over {words}, one line per series with 95 % intervals; "
                    "the tab key reaches each point, which then shows its numbers",
                    lambda axes, metric=metric, key=key: draw(axes, evidence, metric, key),  # type: ignore[misc]
                    {"metric": metric, "x": key, **evidence.chosen_by},
                )
            )
    return found


def heterogeneity_plate(evidence: Evidence, metrics: Sequence[str], key: str) -> Plate:
    """The figure for a paper: one panel per metric and a legend."""
    words = choices(evidence)[key]

    def make() -> Figure:
        figure = Figure(figsize=(2.65 * len(metrics), 2.9), layout="constrained")
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for panel, metric in zip(panels, metrics, strict=True):
            draw(panel, evidence, metric, key)
            panel.set_title(meaning(metric).heading)
        if len(evidence.series) > 1:
            add_legend(figure, legend_handles(list(evidence.series)))
        return figure

    slug = (
        "heterogeneity" if key == "axis" else "heterogeneity-" + key.removeprefix("skew_").replace("_", "-")
    )
    caption = evidence.caption(f"Metrics over {words}: mean over seeds and 95 % interval")
    return Plate(evidence.slug(slug), caption, make)


def draw(axes: Axes, evidence: Evidence, metric: str, key: str) -> Groups:
    """Draws one metric; returns what each point shows under the pointer."""
    groups: Groups = {}
    of, many, ends = meaning(metric), len(evidence.series), []
    columns = evidence.columns or [None]
    places = _axis(axes, evidence, key)
    for number, series in enumerate(evidence.series):
        style, xs, found = look(number), [], []
        for index, column in enumerate(columns):
            rows = evidence.cell(series, column).dropna(subset=[metric])
            if key != "axis":
                rows = rows.dropna(subset=[key])
            if rows.empty:
                continue
            at = float(rows[key].mean()) if key != "axis" else _beside(places[index], number, many, axes)
            point = estimate((rows[metric] * of.scale).tolist(), rows["run"].tolist())
            xs.append(at)
            found.append(point)
            name = f"s{number}-{index}"
            told = estimate_words(of.label, point, of.suffix)
            here = [evidence.named(series), *([f"{evidence.across} {column}"] if evidence.across else [])]
            if key != "axis":
                here.append(f"{SKEWS[key]} {at:.3f}")
            groups[name] = {
                "title": ", ".join(here) + "\n" + told,
                "data-series": str(number),
                "data-column": str(index),
            }
            axes.plot([at], [point.mean], color=style.colour, marker=style.marker, gid=name, zorder=3)
            low, high = _span(point)
            ends += [low, high]
            if high > low:
                bar = f"bar{number}-{index}"
                groups[bar] = {"data-series": str(number), "data-column": str(index)}
                line = axes.vlines([at], low, high, color=style.colour, linewidth=1.1, zorder=2)
                line.set_gid(bar)
        if len(xs) > 1 and _connected(evidence, key):
            line_name = f"line{number}"
            groups[line_name] = {"data-series": str(number)}
            ordered = sorted(zip(xs, (point.mean for point in found), strict=True))
            axes.plot(
                [x for x, _ in ordered],
                [y for _, y in ordered],
                color=style.colour,
                linestyle=style.line,
                gid=line_name,
                zorder=2,
            )
    if ends:
        share = of.is_share
        floor, ceiling = (0.0, 100.0) if share else (-math.inf, math.inf)
        percent_limits(axes, max(min(ends), floor), min(max(ends), ceiling), share=share)
    axes.grid(axis="y")
    return groups


def _connected(evidence: Evidence, key: str) -> bool:
    """Whether points are joined by a line, which between categories would mean nothing."""
    return key != "axis" or evidence.is_numeric()


def _span(point: Estimate) -> tuple[float, float]:
    return (point.mean, point.mean) if math.isnan(point.low) else (point.low, point.high)


def _axis(axes: Axes, evidence: Evidence, key: str) -> list[float]:
    """Sets the x axis up; returns where each label of the study's axis lies on it."""
    if key != "axis":
        axes.set_xlabel(SKEWS[key])
        if key in REVERSED:
            axes.invert_xaxis()
        return []
    labels = evidence.columns
    axes.set_xlabel(str(evidence.across))
    if not evidence.is_numeric():
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_xticks(range(len(labels)), [_cut(label, len(labels)) for label in labels])
        return [float(n) for n in range(len(labels))]
    values = [float(label) for label in labels]
    low, high = min(values), max(values)
    if low > 0 and (high / low >= 4 or evidence.across == "alpha"):
        axes.set_xscale("log")
        room = (high / low) ** 0.12
        limits = (low / room, high * room)
    else:
        limits = (low - 0.12 * (high - low), high + 0.12 * (high - low))
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(*(reversed(limits) if evidence.across == "alpha" else limits))
    return values


def _beside(value: float, number: int, many: int, axes: Axes) -> float:
    """Moves a series a little to the side, so that intervals do not hide each other."""
    step = min(0.022, 0.14 / many) * (number - (many - 1) / 2)
    across = axes.transLimits.transform(axes.transScale.transform((value, 0.0)))[0] + step
    back = axes.transLimits.inverted().transform((across, 0.0))
    return float(axes.transScale.inverted().transform(back)[0])


def _cut(label: object, many: int) -> str:
    """A label short enough for the room below its tick."""
    text, room = str(label), max(6, 44 // many)
    return text if len(text) <= room else text[: room - 1] + "…"
