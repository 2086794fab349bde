"""A metric over the study's axis or a measured skew: every seed a dot, their mean with its 95 % interval.

What goes from left to right is the study's own axis (where it is the concentration of the split, from large to small,
so that the data becomes more uneven), or a skew that was measured on the honest clients' data of each run.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedskew.analysis import Estimate
from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import EDGE, HEIGHT, WIDTH, Chart, Plate, entries, finish
from fedskew.report.figures.panel import Panel, Scale, Tick, y_limits
from fedskew.report.figures.scene import Group, Item, Line, Marks, Scene
from fedskew.report.figures.style import SMALL, Look, cut, cut_middle, look, text_width
from fedskew.report.figures.svg import inline
from fedskew.report.figures.ticks import nice_ticks, tick_words
from fedskew.report.numbers import estimate_words
from fedskew.report.over import AXIS, Point, chances, over

SKEWS = {
    "skew_total_variation": "mean total variation distance",
    "skew_effective_classes": "effective classes per client",
}
"""The measures of skew that a reader can choose for the x axis (partition/heterogeneity.py)."""

REVERSED = {"skew_effective_classes"}
"""Measures that are smaller where the data is more uneven, as the concentration is."""

TITLE = 28
"""Letters in a line of a panel's title in a file."""
MOST_ACROSS = 4
"""Panels in one row of a figure in a file; of more, three are in a row."""
DOT, FAINT = 3.4, 0.55
"""Diameter and opacity of a seed's dot."""


def choices(evidence: Evidence) -> dict[str, str]:
    """What the x axis can be: key -> words."""
    found = {} if evidence.across is None else {AXIS: evidence.across}
    return found | {name: SKEWS[name] for name in evidence.measured(tuple(SKEWS))}


def heterogeneity_charts(evidence: Evidence, metrics: Sequence[str]) -> list[Chart]:
    """A chart for each metric that was measured and each choice of the x axis."""
    found = []
    for metric in evidence.measured(metrics):
        title = evidence.named(meaning(metric).heading)
        for key, words in choices(evidence).items():
            name = evidence.slug(f"over-{key}-{metric}".replace("_", "-"))
            told = (
                f"{title} over {words}: the mean of each series with its 95 % interval, and its seeds; the tab key "
                "reaches each mean"
            )
            drawn = _Drawn(evidence, metric, key)
            height = HEIGHT + drawn.room(WIDTH - EDGE)
            panel = drawn.panel(0.0, EDGE, WIDTH - EDGE, height)
            svg = inline(Scene(WIDTH, height, panel.items), told)
            chosen = {"metric": metric, "x": key, **evidence.chosen_by}
            found.append(Chart(name, title, svg, chosen, note=drawn.note))
    return found


def heterogeneity_plate(evidence: Evidence, metrics: Sequence[str], key: str) -> Plate:
    """The figure for a paper: one panel per metric and a legend."""

    def make() -> Scene:
        wide = 191.0
        drawn = [_Drawn(evidence, metric, key) for metric in evidence.measured(metrics)]
        titles = [textwrap.wrap(one.of.heading, TITLE) for one in drawn]
        top = 10.0 + 12.0 * max(map(len, titles))
        tall = 168.0 + top + max(one.room(wide - EDGE) for one in drawn)
        across = len(drawn) if len(drawn) <= MOST_ACROSS else 3
        items: list[Item] = []
        for number, (one, title) in enumerate(zip(drawn, titles, strict=True)):
            down, right = divmod(number, across)
            y = down * (tall + 6)
            panel = one.panel(right * wide, y + top, (right + 1) * wide - EDGE, y + tall)
            panel.add_title(*title)
            items += panel.items
        legend = entries(list(evidence.series)) if len(evidence.series) > 1 else []
        about = evidence.note("Mean over seeds with its 95 % interval; each dot is a seed.")
        notes = [about, evidence.series_rule, *dict.fromkeys(one.note for one in drawn)]
        return finish(items, wide * across, math.ceil(len(drawn) / across) * (tall + 6), legend, notes)

    first = "heterogeneity" if evidence.is_concentration else "over-axis"
    slug = first if key == AXIS else "heterogeneity-" + key.removeprefix("skew_").replace("_", "-")
    return Plate(evidence.slug(slug), make)


class _Drawn:
    """The drawing of one metric over one choice of the x axis."""

    def __init__(self, evidence: Evidence, metric: str, key: str) -> None:
        self.evidence, self.key, self.of = evidence, key, meaning(metric)
        self.over = over(evidence, metric, key)
        self.categories = key == AXIS and not evidence.is_numeric()
        points = chances(evidence, self.of.chance_metric, key, self.over.labels)
        self.chances = sorted((self._at(one), one.mean.mean) for one in points)

    @property
    def note(self) -> str:
        """What is not seen: the labels that are left out, and what a dashed line is."""
        dashed = "" if self.of.chance is None else "Dashed: chance."
        if len(self.chances):
            dashed = f"Dashed: chance ({meaning(self.of.chance_metric).label})."
        return " ".join(filter(None, [self.over.rule, dashed]))

    def panel(self, left: float, top: float, right: float, bottom: float) -> Panel:
        """The whole panel with its axes inside a box."""
        y_low, y_high = self._y_limits()
        y_ticks = nice_ticks(y_low, y_high)
        words = tick_words(y_ticks)
        inner = left + max(31.0, 9.0 + max((text_width(word, SMALL) for word in words), default=0.0))
        depth = 1.15 * SMALL + self.room(right - left)
        base = bottom - 22.5 - depth
        x, x_ticks = self._x_axis(inner, right)
        panel = Panel(inner, top, right, base, x, Scale(y_low, y_high, base, top))
        panel.add_axes(x_ticks, list(zip(y_ticks, words, strict=True)), turned=self._turned(right - left))
        panel.add_x_label(SKEWS.get(self.key, str(self.evidence.across)), depth)
        if self.of.chance is not None:
            panel.add_level(self.of.scale * self.of.chance)
        if len(self.chances):
            panel.add_levels(self.chances)
        self._draw(panel)
        return panel

    def room(self, width: float) -> float:
        """How much the words below the ticks of a panel of some width need beyond one line."""
        if not self.categories:
            return 0.0
        names = self._names(width)
        if self._turned(width):
            return max((text_width(name, SMALL) for name in names), default=SMALL) - SMALL
        return 1.15 * SMALL * max((name.count("\n") for name in names), default=0)

    def _letters(self, width: float) -> int:
        """That fit below a category of a panel of some width."""
        return int((width - 40.0) / max(len(self.over.labels), 1) / (0.56 * SMALL))

    def _turned(self, width: float) -> bool:
        return self.categories and self._letters(width) < min(
            8, max(len(str(one)) for one in self.over.labels)
        )

    def _names(self, width: float) -> list[str]:
        """The names of categories: in up to three lines each as wide as their places, or in one that reads upwards."""
        if self._turned(width):
            return [cut_middle(str(label), 18) for label in self.over.labels]
        most, found = self._letters(width), []
        for label in self.over.labels:
            lines = textwrap.wrap(str(label), most) or [""]
            rest = [" ".join(lines[2:])] if len(lines) > 2 else []
            found.append("\n".join(cut(line, most) for line in (*lines[:2], *rest)))
        return found

    def _y_limits(self) -> tuple[float, float]:
        points = self.over.points
        ends = [end for one in points for end in (*_span(one.mean), one.ys.min(), one.ys.max())]
        ends += [self.of.scale * self.of.chance] if ends and self.of.chance is not None else []
        ends += [y for _, y in self.chances] if ends else []
        low, high = (min(ends), max(ends)) if ends else (math.nan, math.nan)
        if self.of.is_share:  # what an interval reaches below 0 or above 100 is not drawn
            low, high = max(low, 0.0), min(high, 100.0)
        return y_limits(low, high, share=self.of.is_share)

    def _x_axis(self, left: float, right: float) -> tuple[Scale, list[Tick]]:
        labels = self.over.labels
        if self.key != AXIS:
            places = [float(x) for one in self.over.points for x in one.xs]
            low, high = (min(places), max(places)) if places else (0.0, 1.0)
            room = 0.06 * (high - low) or 0.1
            ends = (low - room, high + room)
            ticks = nice_ticks(*ends, most=6)
            first, last = reversed(ends) if self.key in REVERSED else ends
            return Scale(first, last, left, right), list(zip(ticks, tick_words(ticks), strict=True))
        if self.categories:
            names = enumerate(self._names(right - left + 31.0))
            return Scale(-0.5, len(labels) - 0.5, left, right), [
                (float(number), name) for number, name in names
            ]
        values = [float(label) for label in labels]
        low, high = min(values), max(values)
        if self.evidence.is_logarithmic:
            room = (high / low) ** 0.12 if high > low else 2.0
            ends = (low / room, high * room)
        else:
            room = 0.12 * (high - low) or 1.0
            ends = (low - room, high + room)
        first, last = reversed(ends) if self.evidence.is_concentration else ends
        scale = Scale(first, last, left, right, self.evidence.is_logarithmic)
        return scale, [(value, f"{value:g}") for value in values]

    def _position(self, label: Any) -> float:
        """The value of a label on the scale of the study's axis."""
        return float(self.over.labels.index(label)) if self.categories else float(label)

    def _at(self, one: Point) -> float:
        """Where the mean of a point lies on the scale."""
        return self._position(one.label) if self.key == AXIS else float(one.xs.mean())

    def _draw(self, panel: Panel) -> None:
        """Lines, then seeds, then means, so that no mean is hidden."""
        many = len(self.evidence.series)
        aside = self._aside(panel, many)
        behind: list[Item] = []
        means: list[Item] = []
        for number in range(many):
            style = look(number)
            shift = aside * (number - (many - 1) / 2)
            middles = []
            for one in (point for point in self.over.points if point.series == number):
                at, y = panel.x(self._at(one)).item() + shift, panel.y(one.mean.mean).item()
                middles.append((at, y))
                data = {"series": str(number), "column": str(one.column)}
                if len(one.ys) > 1:
                    behind.append(Group(self._seeds(panel, one, style, at, aside), data, quiet=True))
                means.append(Group([Marks([(at, y)], style.marker, style.colour)], data, self._told(one)))
            if len(middles) > 1 and not self.categories:  # between categories a line would mean nothing
                line = Line([sorted(middles)], style.colour, dash=style.line)
                behind.insert(0, Group([line], {"series": str(number)}, quiet=True))
        panel.items += behind + means

    def _seeds(self, panel: Panel, one: Point, style: Look, at: float, aside: float) -> list[Item]:
        """The interval of the mean, and a dot for each seed: at its own skew, or close around its label."""
        width = min(0.5 * aside, 5.0) if aside else 5.0
        steps = np.arange(len(one.ys)) * 0.618 % 1 - 0.5  # spread evenly, whatever the number of seeds
        xs = panel.x(one.xs) if self.key != AXIS else at + width * (steps - steps.mean())
        low, high = (panel.y(end).item() for end in _span(one.mean))
        low, high = min(low, panel.bottom), max(high, panel.top)
        bar = [Line([[(at, low), (at, high)]], style.colour, 1.1)] if low > high else []
        return [Marks(np.stack([xs, panel.y(one.ys)], axis=1), "o", style.colour, DOT, FAINT), *bar]

    def _aside(self, panel: Panel, many: int) -> float:
        """By how much each series is moved aside from the one before, so that they do not hide each other."""
        if self.key != AXIS or many == 1:
            return 0.0
        places = sorted(panel.x([self._position(label) for label in self.over.labels]).tolist())
        gap = min((b - a for a, b in itertools.pairwise(places) if b > a), default=80.0)
        edge = min(places[0] - panel.left, panel.right - places[-1])
        return float(min(10.0, 0.6 * gap / many, max(0.0, 2 * (edge - 4.0) / (many - 1))))

    def _told(self, one: Point) -> str:
        evidence = self.evidence
        series = list(evidence.series)[one.series]
        here = [series, *([f"{evidence.across} {one.label}"] if evidence.across else [])]
        if self.key != AXIS:
            here.append(f"{SKEWS[self.key]} {one.xs.mean():.3f}")
        numbers = estimate_words(self.of.label, one.mean, self.of.suffix, one.ys.tolist(), self.of.digits)
        return ", ".join(here) + "\n" + numbers


def _span(point: Estimate) -> tuple[float, float]:
    return (point.mean, point.mean) if math.isnan(point.low) else (point.low, point.high)
