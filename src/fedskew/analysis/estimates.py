"""A mean over seeds with its spread: sample standard deviation and Student's interval (docs/statistics.md)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fedskew.analysis.significance import student_quantile
from fedskew.evaluation.metric_table import meaning
from fedskew.study.grid import Study


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, in the unit of the values it was made from.

    Attributes:
        mean: NaN for n = 0.
        std: sample standard deviation (n - 1); NaN for n < 2.
        low, high: the ends of Student's interval; NaN for n < 2.
        n: how many values there are, without those that are NaN.
        runs: the run folders that it comes from.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int
    runs: tuple[str, ...] = ()


def estimate(
    values: Sequence[float],
    runs: Sequence[str] = (),
    level: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Mean, standard deviation and Student's interval: mean +/- t_(n-1) std / sqrt(n).

    The interval is exact for normally distributed values. Values that are all the same give an interval of no
    width: the seeds agree, but the next one may not.

    Args:
        values: one per seed; NaN where it was not measured.
        runs: the folder of each value, or nothing.
        bounds: what the mean is known to lie between, whatever the data says; the interval is cut there, which takes
            nothing from how often it covers the mean.
    """
    given = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(given)
    behind = tuple(run for run, there in zip(runs, known, strict=True) if there) if runs else ()
    given = given[known]
    n = len(given)
    if n < 2:
        return Estimate(float(given[0]) if n else math.nan, math.nan, math.nan, math.nan, n, behind)
    if np.ptp(given) == 0:  # a mean of equal numbers need not equal them to the last bit
        return Estimate(float(given[0]), 0.0, float(given[0]), float(given[0]), n, behind)
    mean, std = float(given.mean()), float(given.std(ddof=1))
    reach = student_quantile(n, level) * std / math.sqrt(n)
    return Estimate(mean, std, max(mean - reach, bounds[0]), min(mean + reach, bounds[1]), n, behind)


def in_table_units(results: pd.DataFrame, metric: str) -> pd.Series[float]:
    """A metric's column as tables show it: shares in percent; NaN where a run (or every run) lacks it."""
    if metric not in results:
        return pd.Series(math.nan, index=results.index, dtype=float)
    return pd.to_numeric(results[metric]).astype(float) * meaning(metric).scale


def cells(results: pd.DataFrame, study: Study) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The study's cells that have complete runs, in its order: {axis: label}, and the rows."""
    if results.empty:
        return
    for labels in itertools.product(*([label for label, _ in axis.points()] for axis in study.axes.values())):
        cell = dict(zip(study.axes, labels, strict=True))
        group = within(results, cell)
        if not group.empty:
            yield cell, group


def within(results: pd.DataFrame, where: dict[str, Any]) -> pd.DataFrame:
    """The rows with these labels."""
    for axis, label in where.items():
        results = results[results[axis] == label]
    return results


def estimates(results: pd.DataFrame, study: Study, metrics: Sequence[str]) -> pd.DataFrame:
    """One row per cell and metric that was measured there, in the order of the study.

    Columns: the axes, ``metric``, ``mean``, ``std``, ``low``, ``high``, ``n``, ``runs`` (tuple of folder
    names); in percent where the metric is a share.
    """
    rows: list[dict[str, Any]] = []
    for cell, group in cells(results, study):
        for metric in metrics:
            values, bounds = in_table_units(group, metric).tolist(), meaning(metric).bounds
            found = estimate(values, group["run"].tolist(), bounds=bounds)
            if found.n:
                rows.append({**cell, "metric": metric, **vars(found)})
    columns = [*study.axes, "metric", "mean", "std", "low", "high", "n", "runs"]
    return pd.DataFrame(rows, columns=columns)
