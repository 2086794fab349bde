"""A metric over rounds: the mean over the seeds of a cell, with the range of its seeds.

Runs stop when their rule says so, not all in the same round. After the first of them has stopped the mean is one over
fewer runs, which ``Curve.full`` marks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedskew.evaluation.metric_table import meaning
from fedskew.protocols import RoundRecord
from fedskew.report.evidence import Evidence

MOST_POINTS = 160
"""Of one curve; more rounds are thinned, and the page says so."""
MOST_LINES = 10
"""Seeds of one curve, at most, that are drawn as lines of their own."""

UPDATES = (
    (
        "update norm",
        ("update_norm_honest", "honest"),
        ("update_norm_malicious", "adversaries"),
    ),
    (
        "cosine similarity",
        ("cosine_honest_honest", "honest with honest"),
        ("cosine_honest_malicious", "honest with adversaries"),
    ),
)
"""(words, metric, metric), each metric with the clients that it is about; the second is drawn dashed."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One metric of one cell over rounds; all arrays have one entry per round that is shown.

    Attributes:
        number: of its series, which gives it its look.
        full: how many of the first entries have all seeds.
        dashed: the second curve of a series, e.g. the adversaries'.
        thinned: n, where every n-th round is kept.
        single: [seeds, rounds]: each seed's own values, NaN after its last round.
    """

    label: str
    number: int
    rounds: Values
    mean: Values
    low: Values
    high: Values
    seeds: npt.NDArray[np.int64]
    full: int
    single: Values
    dashed: bool = False
    thinned: int = 1


def value(record: RoundRecord, metric: str) -> float:
    """A metric or an entry of the defence's trace, as it is shown; NaN if the round has none."""
    found = record.metrics.get(metric, record.trace.get(metric, math.nan))
    return float(found) * meaning(metric).scale


def curve(
    evidence: Evidence,
    series: str,
    column: Any,
    metric: str,
    label: str = "",
    dashed: bool = False,
    most: int = MOST_POINTS,
) -> Curve | None:
    """The curve of a cell with at most so many points; None if no complete run of it has the metric, or none in more
    than its last round."""
    rows = evidence.cell(series, column)
    runs = [evidence.records[run] for run in rows["run"]] if len(rows) else []
    runs = [records for records in runs if _has_curve(records, metric)]
    if not runs:
        return None
    longest, shortest = max(map(len, runs)), min(map(len, runs))
    table = np.full((len(runs), longest), np.nan)
    for row, records in enumerate(runs):
        table[row, : len(records)] = [value(record, metric) for record in records]
    there = [k for k in range(longest) if not np.isnan(table[:, k]).all()]
    step = math.ceil(len(there) / most)
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
        part,
        dashed,
        step,
    )


def _has_curve(records: Sequence[RoundRecord], metric: str) -> bool:
    """Whether a run has a metric; one of several rounds, as that of a privacy attack, in more than its last one."""
    there = [k for k, record in enumerate(records) if not math.isnan(value(record, metric))]
    return bool(there) and (len(records) == 1 or there != [len(records) - 1])


def cell_curves(evidence: Evidence, column: Any, metric: str, most: int = MOST_POINTS) -> list[Curve]:
    """The curves of one panel: one per series."""
    found = (curve(evidence, series, column, metric, most=most) for series in evidence.series)
    return [one for one in found if one is not None]


def paired_curves(
    evidence: Evidence,
    column: Any,
    first: tuple[str, str],
    second: tuple[str, str],
    most: int = MOST_POINTS,
) -> list[Curve]:
    """Two metrics of each series in one panel, the second dashed; each is (metric, what it is about)."""
    found = []
    for series in evidence.series:
        for (metric, about), dashed in ((first, False), (second, True)):
            label = f"{series}: {about}"
            found.append(curve(evidence, series, column, metric, label, dashed, most))
    return [one for one in found if one is not None]


def shared_limits(curves: Sequence[Curve]) -> tuple[float, float, float]:
    """Lowest and highest value and last round of several panels that are to be compared."""
    if not curves:
        return math.nan, math.nan, 1.0
    lowest = min(float(np.nanmin(one.low)) for one in curves)
    highest = max(float(np.nanmax(one.high)) for one in curves)
    return lowest, highest, max(float(one.rounds[-1]) for one in curves)
