"""A metric over the study's axis or a measured skew: the runs of each series at each label, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedskew.analysis import Estimate, estimate
from fedskew.evaluation.metric_table import meaning
from fedskew.report.chosen import evenly
from fedskew.report.evidence import Evidence

AXIS = "axis"
"""The choice of the x axis that is the study's own; any other is a column of measured skew."""
MOST_LABELS = 30
"""Of a numeric axis in one chart."""
MOST_CATEGORIES = 16
"""Of another axis in one chart: as many as can be named."""


@dataclass(frozen=True)
class Point:
    """The runs of one series at one label.

    Attributes:
        series, column: their numbers, in the order of the study.
        xs, ys: of each run: the measured skew, or 0 over the study's axis; the metric as it is shown.
        mean: of the metric.
    """

    series: int
    column: int
    label: Any
    xs: npt.NDArray[np.float64]
    ys: npt.NDArray[np.float64]
    mean: Estimate


@dataclass(frozen=True)
class Over:
    """What one chart shows: points, the labels of the axis in the order in which they are drawn, and a sentence on
    those that are left out, or ""."""

    points: list[Point]
    labels: list[Any]
    rule: str


def over(evidence: Evidence, metric: str, key: str) -> Over:
    """One metric over ``AXIS`` or a column of measured skew; few of many labels."""
    points = _points(evidence, metric, key)
    labels = list(dict.fromkeys(one.label for one in sorted(points, key=lambda one: one.column)))
    most = MOST_LABELS if evidence.is_numeric() else MOST_CATEGORIES
    if len(labels) <= most:
        return Over(points, evidence.columns if len(evidence.columns) <= most else labels, "")
    left_out = f"Of {len(labels)} labels of {evidence.across}, "
    if evidence.is_numeric():
        places = dict(zip(evidence.columns, evidence.places, strict=True))
        labels = evenly(labels, most, [places[label] for label in labels])
        left_out += f"{len(labels)} are drawn, evenly spaced"
    else:
        labels = _extremes(points, labels, most // 2)
        left_out += (
            f"the {most // 2} with the lowest and the {most // 2} with the highest {meaning(metric).label} "
        )
        left_out += "are drawn, in this order"
    points = [one for one in points if one.label in labels]
    return Over(points, labels, f"{left_out}; the tables have them all.")


def chances(evidence: Evidence, metric: str, key: str, labels: Sequence[Any]) -> list[Point]:
    """What somebody who knows nothing reaches at each of the labels, over all series; nothing where no run says it."""
    found, points = [], _points(evidence, metric, key) if evidence.measured([metric]) else []
    for column, label in enumerate(labels):
        same = [one for one in points if one.label == label]
        if same:
            ys = np.concatenate([one.ys for one in same])
            xs = np.concatenate([one.xs for one in same])
            found.append(Point(0, column, label, xs, ys, estimate(ys.tolist())))
    return found


def _points(evidence: Evidence, metric: str, key: str) -> list[Point]:
    """Every cell that has the metric. At a measured skew, labels that share their runs are one point."""
    scale, found = meaning(metric).scale, []
    for number, series in enumerate(evidence.series):
        seen = set()
        for column, label in enumerate(evidence.columns or [None]):
            rows = evidence.cell(series, label)
            if metric not in rows:
                continue
            ys = rows[metric].to_numpy(dtype=np.float64) * scale
            xs = np.zeros(len(ys)) if key == AXIS else rows[key].to_numpy(dtype=np.float64)
            known = np.isfinite(ys) & np.isfinite(xs)
            runs = tuple(rows["run"].to_numpy()[known])
            if not runs or (key != AXIS and runs in seen):
                continue
            seen.add(runs)
            mean = estimate(ys[known].tolist(), runs, bounds=meaning(metric).bounds)
            found.append(Point(number, column, label, xs[known], ys[known], mean))
    return found


def _extremes(points: Sequence[Point], labels: Sequence[Any], half: int) -> list[Any]:
    """So many labels with the lowest means over the series, and as many with the highest, from low to high."""
    means: dict[Any, list[float]] = {}
    for one in points:
        means.setdefault(one.label, []).append(one.mean.mean)
    ranked = sorted(labels, key=lambda label: float(np.mean(means[label])))
    return ranked[:half] + ranked[-half:]
