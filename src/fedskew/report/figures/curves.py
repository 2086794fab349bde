"""Curves over rounds: the mean over the seeds of a cell, with the range of its seeds as a band and few seeds as lines.

A curve is solid while all of its seeds run and dotted while only some do.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import EDGE, HEIGHT, WIDTH, Chart, Entry, Plate, entries, finish
from fedskew.report.figures.panel import Panel, Scale, y_limits
from fedskew.report.figures.scene import Area, Group, Item, Line, Marks, Scene
from fedskew.report.figures.style import MUTED, SMALL, look, text_width
from fedskew.report.figures.svg import inline
from fedskew.report.figures.ticks import nice_ticks, tick_words
from fedskew.report.rounds import (
    MOST_LINES,
    MOST_POINTS,
    UPDATES,
    Curve,
    cell_curves,
    paired_curves,
    shared_limits,
)

DASHED, DOTTED = (4.0, 2.0), (1.0, 1.6)
FEW_PANELS = 5
"""In so many panels of one metric a curve has all its points; in more it has fewer, so that the page stays small."""
FEWEST_POINTS = 50

Row: TypeAlias = tuple[str, str, Callable[[Any], list[Curve]]]
"""(metric, its words, function of the label from left to right that gives the curves of its panel)"""


def curve_rows(
    parts: Sequence[Evidence], metrics: Sequence[str], main: Sequence[str]
) -> tuple[list[list[Chart]], int]:
    """One row of charts per metric and part, and how much the longest curve is thinned.

    Args:
        main: metrics that have a line for each seed.
    """
    rows, thinned = [], 1
    most = _most_points(parts)
    for metric, part in itertools.product(metrics, parts):
        found = [cell_curves(part, column, metric, most) for _, column in part.facets]
        thinned = max([thinned, *(one.thinned for curves in found for one in curves)])
        words, chosen = meaning(metric).heading, {"metric": metric}
        rows.append(_row(part, f"rounds-{metric}", words, metric, found, chosen, metric in main))
    return [row for row in rows if row], thinned


def update_rows(parts: Sequence[Evidence]) -> list[list[Chart]]:
    """One row of charts for each of ``UPDATES`` and each part."""
    rows, most = [], _most_points(parts)
    for part, (words, first, second) in itertools.product(parts, UPDATES):
        panels = [paired_curves(part, column, first, second, most) for _, column in part.facets]
        rows.append(_row(part, f"updates-{words}", words, first[0], panels, {}, False))
    return [row for row in rows if row]


def _most_points(parts: Sequence[Evidence]) -> int:
    panels = sum(len(part.facets) for part in parts)
    return max(FEWEST_POINTS, min(MOST_POINTS, MOST_POINTS * FEW_PANELS // max(panels, 1)))


def _row(
    evidence: Evidence,
    name: str,
    words: str,
    metric: str,
    panels: list[list[Curve]],
    chosen_by: dict[str, str],
    seeds: bool,
) -> list[Chart]:
    """Charts of one metric, one per panel from left to right, on the same scale."""
    limits = shared_limits([curve for curves in panels for curve in curves])
    found = []
    for (title, label), curves in zip(evidence.facets, panels, strict=True):
        if curves:
            number = evidence.columns.index(label) if evidence.across else 0
            place = evidence.slug(re.sub(r"[^A-Za-z0-9]+", "-", f"{name}-{number}"))
            chosen = {**chosen_by, "column": str(number), **evidence.chosen_by}
            headed = evidence.named(words, title)
            panel = curve_panel(metric, curves, limits, (0.0, EDGE, WIDTH - EDGE, HEIGHT), seeds)
            told = f"{headed}: mean over seeds per round, one line per series; arrow keys move through the rounds"
            svg = inline(Scene(WIDTH, HEIGHT, panel.items), told)
            found.append(Chart(place, headed, svg, chosen, _readable(panel, metric, curves)))
    return found


def curves_plate(evidence: Evidence, slug: str, rows: Sequence[Row]) -> Plate:
    """The figure for a paper: one row per metric with curves, one panel per label of the axis from left to right."""

    def make() -> Scene:
        across, wide, tall, left = evidence.facets, 191.0, 160.0, 14.0
        items: list[Item] = []
        dashed = False
        drawn = [(metric, words, [made(column) for _, column in across]) for metric, words, made in rows]
        drawn = [row for row in drawn if any(row[2])]
        for number, (metric, words, panels) in enumerate(drawn):
            limits = shared_limits([one for some in panels for one in some])
            dashed = dashed or any(one.dashed for some in panels for one in some)
            top = 22.0 + number * tall
            for place, ((title, _), curves) in enumerate(zip(across, panels, strict=True)):
                box = (left + place * wide, top, left + (place + 1) * wide - EDGE, top + tall - 6)
                panel = curve_panel(metric, curves, limits, box, seeds=True)
                if number == 0:
                    panel.add_title(title)
                if place == 0:
                    panel.add_y_label(words, EDGE + 2)
                items += panel.items
        legend = entries(list(evidence.series)) if len(evidence.series) > 1 else []
        if dashed:
            legend.append(Entry("adversaries", MUTED, None, DASHED))
        about = "Mean over seeds; the band is the range of the seeds, "
        about += f"the thin lines are the seeds (where they are {MOST_LINES} or fewer); "
        about += "dotted where some runs have stopped."
        notes = [evidence.note(about), evidence.series_rule, evidence.panel_rule]
        height = 22.0 + tall * len(drawn) + 4
        return finish(items, left + wide * len(across), height, legend, notes)

    return Plate(evidence.slug(slug), make)


def curve_panel(
    metric: str,
    curves: Sequence[Curve],
    limits: tuple[float, float, float],
    box: tuple[float, float, float, float],
    seeds: bool,
) -> Panel:
    """The curves of one panel inside a box (left, top, right, bottom).

    Args:
        limits: ``shared_limits`` of all panels that are to be compared.
        seeds: whether each of few seeds has a thin line.
    """
    low, high, last = limits
    y_low, y_high = y_limits(low, high, share=meaning(metric).is_share)
    y_ticks = nice_ticks(y_low, y_high)
    words = tick_words(y_ticks)
    left, top, right, bottom = box
    left += max(31.0, 9.0 + max((text_width(word, SMALL) for word in words), default=0.0))
    bottom -= 22.5 + 1.15 * SMALL
    x = Scale(1 - 0.01 * last, max(last, 2.0) * 1.01, left, right)
    panel = Panel(left, top, right, bottom, x, Scale(y_low, y_high, bottom, top))
    rounds = nice_ticks(1.0, last, most=6, whole=True)
    panel.add_axes(list(zip(rounds, tick_words(rounds), strict=True)), list(zip(y_ticks, words, strict=True)))
    panel.add_x_label("round")
    for one in curves:
        panel.items.append(Group(list(_drawn(panel, one, seeds)), {"series": str(one.number)}, quiet=True))
    return panel


def _drawn(panel: Panel, one: Curve, seeds: bool) -> Iterator[Item]:
    """The band, the seeds and the mean of one curve."""
    style = look(one.number)
    many = len(one.single)
    if many > 1:
        there = [panel.places(one.rounds, one.low), panel.places(one.rounds, one.high)[::-1]]
        yield Area(np.concatenate(there), style.colour, 0.16)
    if seeds and 1 < many <= MOST_LINES:
        known = (np.isfinite(row) for row in one.single)
        lines = [
            panel.places(one.rounds[k], row[k])
            for k, row in zip(known, one.single, strict=True)
            if k.sum() > 1
        ]
        if lines:
            yield Line(lines, style.colour, 0.5, opacity=0.45)
    mean = panel.places(one.rounds, one.mean)
    whole, rest = mean[: one.full], mean[max(one.full - 1, 0) :]
    if len(whole) > 1:
        yield Line([whole], style.colour, 1.4, DASHED if one.dashed else style.line)
    if len(rest) > 1:
        yield Line([rest], style.colour, 1.1, DOTTED)
    step = max(1, one.full // 6)
    first = min(one.number * step // 3, max(one.full - 1, 0))  # no mark hides another
    yield Marks(mean[first : max(one.full, 1) : step], style.marker, style.colour, 4.0)


def _readable(panel: Panel, metric: str, curves: Sequence[Curve]) -> dict[str, Any]:
    """What the page's script reads exact values from: ``Chart.curve``."""
    largest = max((float(np.nanmax(np.abs(one.high))) for one in curves), default=0.0)
    digits = 2 if meaning(metric).is_share or largest >= 10 else 3
    return {
        "unit": meaning(metric).suffix,
        "digits": digits,
        # Where the axes lie in the figure: left, top, right, bottom as shares of its width and height.
        "box": [
            round(share, 4)
            for share in (panel.left / WIDTH, panel.top / HEIGHT, panel.right / WIDTH, panel.bottom / HEIGHT)
        ],
        "rounds": [round(v, 3) for v in (panel.x.first, panel.x.last)],
        "curves": [
            {"label": one.label, "series": str(one.number), **_brief(one, 10**digits)} for one in curves
        ],
    }


def _brief(one: Curve, units: int) -> dict[str, Any]:
    """A curve in whole numbers, which the script adds up again: rounds and means as steps from the one before, the ends
    of the range as distances from the mean; [first, how many] for rounds that follow each other, one number for seeds
    that are as many in all rounds."""
    rounds, seeds = one.rounds.astype(int).tolist(), one.seeds.tolist()
    following = rounds == list(range(rounds[0], rounds[0] + len(rounds)))
    mean = np.rint(one.mean * units)
    found: dict[str, Any] = {"span": [rounds[0], len(rounds)]} if following else {"round": _steps(rounds)}
    found["seeds"] = seeds[0] if len(set(seeds)) == 1 else seeds
    found["mean"] = _steps(mean)
    if max(seeds) > 1:
        found["low"] = _whole(mean - np.rint(one.low * units))
        found["high"] = _whole(np.rint(one.high * units) - mean)
    return found


def _steps(values: npt.ArrayLike) -> list[int | None]:
    """Each value minus the one before; None for one that is not finite, which the next step leaves out."""
    found: list[int | None] = []
    before = 0.0
    for value in np.asarray(values, dtype=np.float64).tolist():
        finite = math.isfinite(value)
        found.append(int(value - before) if finite else None)
        before = value if finite else before
    return found


def _whole(values: Iterable[float]) -> list[int | None]:
    return [int(value) if math.isfinite(value) else None for value in values]
