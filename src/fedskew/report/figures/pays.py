"""How often an honest client is down-weighted, against how unusual its data is: one line per series, each mean over
seeds with its 95 % interval.

There is a panel for each label of the axis from left to right. Taken together over it, a rule that down-weights more
clients where the data is more uneven would seem to prefer usual clients, though within a run it may treat all alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedskew.analysis.pays.unusual import STEP, Bin, in_bins
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import EDGE, HEIGHT, WIDTH, Chart, Plate, entries, finish
from fedskew.report.figures.panel import Panel, Scale, y_limits
from fedskew.report.figures.scene import Group, Item, Line, Marks, Scene
from fedskew.report.figures.style import SMALL, look, text_width
from fedskew.report.figures.svg import inline
from fedskew.report.figures.ticks import nice_ticks, tick_words
from fedskew.report.numbers import estimate_words, number
from fedskew.report.pays import WhoPays
from fedskew.wording import count

RATE = "down-weighted [% of rounds]"
UNUSUAL = "total variation of a client's labels"
SIDE = 5.0
"""Points by which the series of a bin are moved aside, at most, so that they do not hide each other."""


@dataclass(frozen=True)
class _Curve:
    """The bins of a series, and its number, which gives it its look."""

    number: int
    series: str
    bins: list[Bin]


def _panels(evidence: Evidence, who: WhoPays) -> list[tuple[str, int, list[_Curve]]]:
    """(title, number of the label, curves) of each panel that has some."""
    found = []
    for title, label in evidence.facets:
        made = (
            _Curve(at, series, in_bins(who.of(evidence, series, label)))
            for at, series in enumerate(evidence.series)
        )
        curves = [one for one in made if one.bins]
        if curves:
            found.append((title, evidence.columns.index(label) if evidence.across else 0, curves))
    return found


def pays_charts(evidence: Evidence, who: WhoPays) -> list[Chart]:
    """A chart for each label of the axis from left to right that has bins of enough seeds."""
    found, panels = [], _panels(evidence, who)
    limits = _limits([curve for _, _, curves in panels for curve in curves])
    for title, at, curves in panels:
        headed = evidence.named("honest clients down-weighted [% of rounds]", title)
        panel = _panel(curves, title, limits, (0.0, EDGE, WIDTH - EDGE, HEIGHT))
        about = f"{headed}, against {UNUSUAL}: mean over seeds with its 95 % interval; the tab key reaches each mean"
        svg = inline(Scene(WIDTH, HEIGHT, panel.items), about)
        chosen = {"column": str(at), **evidence.chosen_by}
        found.append(Chart(evidence.slug(f"who-pays-{at}"), headed, svg, chosen))
    return found


def pays_plate(evidence: Evidence, who: WhoPays) -> Plate | None:
    """The figure for a paper; None if no label has bins of enough seeds."""
    panels = _panels(evidence, who)
    if not panels:
        return None

    def make() -> Scene:
        wide, tall, left = 191.0, 190.0, 14.0
        limits = _limits([curve for _, _, curves in panels for curve in curves])
        items: list[Item] = []
        for place, (title, _, curves) in enumerate(panels):
            box = (left + place * wide, 22.0, left + (place + 1) * wide - EDGE, tall)
            panel = _panel(curves, title, limits, box)
            panel.add_title(title)
            if place == 0:
                panel.add_y_label(RATE, EDGE + 2)
            items += panel.items
        about = (
            "Honest clients in bins of 0.1 of total variation: mean over seeds of how often the rule gives them less "
            "than half of an equal weight, with its 95 % interval. Bins with clients of fewer than three seeds are "
            "left out."
        )
        notes = [evidence.note(about), evidence.series_rule, evidence.panel_rule]
        legend = entries(list(evidence.series)) if len(evidence.series) > 1 else []
        there = {curve.number for _, _, curves in panels for curve in curves}
        shown = [entry for at, entry in enumerate(legend) if at in there]
        return finish(items, left + wide * len(panels), tall + 6, shown, notes)

    return Plate(evidence.slug("who-pays"), make)


def _limits(curves: Sequence[_Curve]) -> tuple[float, float, float]:
    """The lowest and the highest rate and the most unusual client of several panels that are to be compared."""
    rates = [one.down_weighted for curve in curves for one in curve.bins]
    return (
        min((rate.low for rate in rates), default=0.0),
        max((rate.high for rate in rates), default=100.0),
        max((one.high for curve in curves for one in curve.bins), default=1.0),
    )


def _panel(
    curves: Sequence[_Curve],
    title: str,
    limits: tuple[float, float, float],
    box: tuple[float, float, float, float],
) -> Panel:
    low, high, most = limits
    y_low, y_high = y_limits(low, high, share=True)
    y_ticks = nice_ticks(y_low, y_high)
    words = tick_words(y_ticks)
    left, top, right, bottom = box
    left += max(31.0, 9.0 + max((text_width(word, SMALL) for word in words), default=0.0))
    bottom -= 22.5 + 1.15 * SMALL
    panel = Panel(left, top, right, bottom, Scale(0.0, most, left, right), Scale(y_low, y_high, bottom, top))
    x_ticks = nice_ticks(0.0, most, most=6)
    panel.add_axes(
        list(zip(x_ticks, tick_words(x_ticks), strict=True)), list(zip(y_ticks, words, strict=True))
    )
    panel.add_x_label(UNUSUAL)
    _draw(panel, curves, title)
    return panel


def _draw(panel: Panel, curves: Sequence[_Curve], title: str) -> None:
    """Lines and intervals, then means, so that no mean is hidden."""
    room = (panel.x(STEP) - panel.x(0.0)).item()
    step = min(SIDE, 0.5 * room / len(curves))
    behind: list[Item] = []
    means: list[Item] = []
    for place, curve in enumerate(curves):
        style, shift = look(curve.number), step * (place - (len(curves) - 1) / 2)
        data = {"series": str(curve.number)}
        xs = [panel.x(one.middle).item() + shift for one in curve.bins]
        middles = list(zip(xs, (panel.y(one.down_weighted.mean).item() for one in curve.bins), strict=True))
        drawn: list[Item] = [Line([middles], style.colour, 1.4, style.line)] if len(middles) > 1 else []
        for x, one in zip(xs, curve.bins, strict=True):
            low, high = (panel.y(end).item() for end in (one.down_weighted.low, one.down_weighted.high))
            if low > high:
                drawn.append(Line([[(x, low), (x, high)]], style.colour, 1.0))
        behind.append(Group(drawn, data, quiet=True))
        for middle, one in zip(middles, curve.bins, strict=True):
            means.append(Group([Marks([middle], style.marker, style.colour)], data, _told(curve, one, title)))
    panel.items += behind + means


def _told(curve: _Curve, one: Bin, title: str) -> str:
    where = ", ".join(filter(None, [curve.series, title]))
    return (
        f"{where}\ntotal variation {one.low:.1f} to {one.high:.1f}: {count(one.clients, 'client')}\n"
        + estimate_words("down-weighted in", one.down_weighted, " % of rounds")
        + f"\nrejected in {number(one.rejected.mean)} %; weight {number(one.weight.mean)} of an equal one"
    )
