"""A study at one moment as a table for a terminal: what runs first, in as many columns and lines as there is room.

Where the window is narrow the sparklines shrink and go, then the metrics after the first, then the time left. Where
it is low the runs at work are shown, and the rest is counted.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from fedskew.errors import ConfigError, unknown
from fedskew.evaluation.metric_table import MAIN_METRICS, METRICS, meaning
from fedskew.study.time_left import Left
from fedskew.study.watch import RunView, State, StudyView
from fedskew.wording import clock

STATES: tuple[State, ...] = get_args(State)
STYLES = {
    "running": "green",
    "failed": "bold red",
    "to do again": "bold red",
    "interrupted": "yellow",
    "done": "dim",
    "to do": "",
}
BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN_BLOCKS = "_.-=+*%#"
GAP = 2
REASONS = 3


def shown_metrics(view: StudyView, wanted: Sequence[str]) -> list[str]:
    """The metrics to show: the wanted ones, or those of the usual ones that were measured.

    Raises:
        ConfigError: a wanted one is neither a standard metric nor in the records.
    """
    there = list(dict.fromkeys(name for run in view.runs for name in run.curves))
    for name in wanted:
        if there and name not in there and name not in METRICS:
            raise ConfigError(*unknown("metric", name, there))
    return list(wanted) or [name for name in MAIN_METRICS if name in there]


def picture(view: StudyView, wanted: Sequence[str], console: Console, height: int | None) -> Group:
    """The table with a line above that counts and the reasons of failures below.

    Args:
        console: tells the width, and whether its encoding has block characters.
        height: lines to keep within; None for as many as there are.
    """
    fancy = console.encoding.startswith("utf")
    runs = sorted(view.runs, key=lambda run: STATES.index(run.state))
    bad = [run for run in runs if run.state in ("failed", "to do again")][:REASONS]
    below = [
        Text(f"{run.plan.title}: {run.state.upper()}: {run.why}", no_wrap=True, overflow="ellipsis")
        for run in bad
    ]
    if not view.owned and any(run.state != "done" for run in runs):
        below.append(_line("no process on this machine is working on it; `fedskew study` resumes it"))
    columns = _fitting(view, shown_metrics(view, wanted), console.width, fancy)
    if height is not None:
        heading = max(len(textwrap.wrap(column.title, column.width)) for column in columns)
        room = max(height - heading - len(below) - 2, 2)  # the line above, and the one that the cursor is on
        if len(runs) > room:
            runs, rest = runs[: room - 1], runs[room - 1 :]
            below.insert(0, _line(f"and {len(rest)} more: {_counted(rest)}"))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            Text(column.title),
            width=column.width,
            no_wrap=column.shrinks,
            overflow="ellipsis",
            justify="right" if column.right else "left",
        )
    for run in runs:
        table.add_row(*(column.cells[id(run)] for column in columns))
    counted = f"{view.folder.study.name}: {_counted(view.runs)}"
    above = _line(f"{counted}  {_left(view.left, fancy)} left" if view.left else counted)
    return Group(above, table, *below)


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def sparkline(values: Sequence[float], low: float, high: float, width: int, blocks: str = BLOCKS) -> str:
    """A curve in at most ``width`` characters, the last value of each stretch; a space where it is no number."""
    count = min(width, len(values))
    ends = [values[(number + 1) * len(values) // count - 1] for number in range(count)]
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(blocks[round((v - low) * scale)] if math.isfinite(v) else " " for v in ends)


@dataclass(frozen=True)
class _Column:
    """A heading, the text of each run by ``id``, and how wide they are."""

    title: str
    cells: dict[int, Text]
    width: int
    right: bool = False
    shrinks: bool = False


def _fitting(view: StudyView, metrics: list[str], width: int, fancy: bool) -> list[_Column]:
    """The columns that fit; labels are cut only when every other column is gone."""
    fixed = [
        *(_column(a, view, [str(run.plan.cell[a]) for run in view.runs]) for a in view.folder.study.axes),
        _column("seed", view, [str(run.plan.seed) for run in view.runs], right=True),
        _column("state", view, [run.state for run in view.runs]),
        _column(
            "round", view, [f"{run.rounds}/{run.plan.experiment.rounds}" for run in view.runs], right=True
        ),
    ]
    left = [_left(view.left_of.get(run.plan.identity), fancy) for run in view.runs]
    last = [_column("left", view, left, right=True)]
    choices = [(metrics, spark, last) for spark in (16, 10, 6, 0)]
    choices += [(metrics[:count], 0, last) for count in range(len(metrics) - 1, -1, -1)] + [([], 0, [])]
    for names, spark, end in choices:
        columns = [*fixed, *(_metric(name, view, spark, fancy) for name in names), *end]
        if sum(column.width + GAP for column in columns) <= width:
            return columns
    too_much = sum(column.width + GAP for column in fixed) - width
    widths = [column.width for column in fixed]
    axes = len(fixed) - 3
    for some in (slice(0, axes), slice(axes, None)):  # labels first; then seed, state and round too
        while too_much > 0 and max(widths[some], default=0) > 4:  # a little off whichever is the widest
            widths[widths.index(max(widths[some]), some.start)] -= 1
            too_much -= 1
    return [replace(column, width=w, shrinks=True) for column, w in zip(fixed, widths, strict=True)]


def _column(title: str, view: StudyView, texts: Sequence[str], *, right: bool = False) -> _Column:
    cells = {
        id(run): Text(text, style=STYLES[text] if title == "state" else "")
        for run, text in zip(view.runs, texts, strict=True)
    }
    return _Column(title, cells, max(map(len, [title, *texts])), right)


def _metric(name: str, view: StudyView, spark: int, fancy: bool) -> _Column:
    """The present value and the curve, on one scale for all runs, so that they can be compared."""
    curves = [run.curves.get(name, []) for run in view.runs]
    finite = [value for curve in curves for value in curve if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    blocks = BLOCKS if fancy else PLAIN_BLOCKS
    cells = {}
    for run, curve in zip(view.runs, curves, strict=True):
        text = Text(f"{_number(name, curve[-1]) if curve else '':>6}")
        if spark:
            drawn = sparkline(curve, low, high, spark, blocks) if curve else ""
            text.append(f" {drawn:{spark}}", style="cyan")
        cells[id(run)] = text
    title = meaning(name).label
    width = max(map(len, [*title.split(), *(cell.plain for cell in cells.values())]))
    return _Column(title, cells, width)


def _number(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return meaning(name).text(value, ".1f", ".4g")


def _left(left: Left | None, fancy: bool) -> str:
    if left is None:
        return ""
    return f"{('≤' if fancy else '<=') if left.at_most else ''}{clock(left.seconds)}"


def _counted(runs: Iterable[RunView]) -> str:
    counts = Counter(run.state for run in runs)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
