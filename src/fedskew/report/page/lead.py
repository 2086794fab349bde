"""The main figure of a study: the metrics that come first over its axis, in as many of its parts as have room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Chart
from fedskew.report.over import AXIS
from fedskew.wording import count

MOST_LEADING = 12
"""Charts of the main figure."""
MOST_NAMED = 6
"""Parts that it leaves out, in a sentence."""


def leading_parts(parts: Sequence[Evidence], metrics: list[str]) -> list[Evidence]:
    """The parts that the main figure shows, with all the metrics that come first: as many as have room, at least one,
    and rather those in which more of the metrics were measured (an attack's success needs an attack)."""
    room = max(1, MOST_LEADING // max(len(metrics), 1))
    ranked = sorted(parts, key=lambda part: -len(part.measured(metrics)))
    chosen = {part.part for part in ranked[:room]}
    return [part for part in parts if part.part in chosen]


def lead_charts(over: list[Chart], part: Evidence, metrics: list[str]) -> list[Chart]:
    """The charts of one part in the main figure."""
    wanted = [{"metric": metric, "x": AXIS, **part.chosen_by} for metric in metrics]
    found = [chart for chart in over if chart.chosen_by in wanted]
    return [replace(chart, name=f"lead-{chart.name}", chosen_by={}) for chart in found[:MOST_LEADING]]


def left_out(parts: Sequence[Evidence], leading: Sequence[Evidence]) -> str:
    """A sentence on the parts that the main figure leaves out."""
    drawn = {part.part for part in leading}
    names = [part.part[1] for part in parts if part.part and part.part not in drawn]
    more = f" and {count(len(names) - MOST_NAMED, 'more part')}" if len(names) > MOST_NAMED else ""
    return f"Below, the figures show {', '.join(names[:MOST_NAMED])}{more} too." if names and leading else ""
