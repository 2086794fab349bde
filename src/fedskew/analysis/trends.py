"""How a metric changes over a numeric axis or a measured skew: one least-squares slope per seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from fedskew.analysis.contrasts import Contrast, per_seed, scale_of
from fedskew.analysis.effects import tested
from fedskew.analysis.estimates import in_table_units
from fedskew.evaluation.metric_table import meaning
from fedskew.study.grid import Study


@dataclass(frozen=True)
class Trend:
    """The mean over seeds of each seed's least-squares slope of a metric.

    Attributes:
        axis: an axis of the study or a column of measured skew.
        where: the labels of the other axes that are fixed; over the rest the seed's runs are taken together.
        slope: per ``unit``. Over alpha it is per *halving*, so that positive means: grows as alpha falls. Over
            another axis that spans a factor of 4 it is per doubling, else per unit of the axis.
        low, high, n, p_value, exact_p, smallest_p, monte_carlo, runs, left_out, cells_left_out, p_holm: as in
            ``Difference``.
        unit: e.g. "percentage points per halving of alpha".
    """

    metric: str
    axis: str
    where: dict[str, Any]
    slope: float
    unit: str
    low: float
    high: float
    n: int
    p_value: float
    exact_p: float
    smallest_p: float
    monte_carlo: bool
    runs: tuple[str, ...]
    left_out: tuple[int, ...] = ()
    cells_left_out: tuple[str, ...] = ()
    p_holm: float = float("nan")


def trend(
    results: pd.DataFrame, study: Study, metric: str, axis: str, where: dict[str, Any] | None = None
) -> Trend | None:
    """The trend of a metric over a numeric axis, or over a measured skew (``skew_...``).

    None if the axis is not numeric or no seed has two different points of it with results.
    """
    fixed, scale = dict(where or {}), scale_of(study, axis)
    numbers = per_seed(results, study, in_table_units(results, metric), Contrast(over=axis, where=fixed))
    if numbers is None or scale is None:
        return None
    found = tested(numbers.values, 0.0, numbers.runs)
    slope = found.pop("effect")
    return Trend(
        metric=metric,
        axis=axis,
        where=fixed,
        slope=slope,
        unit=per_step(meaning(metric).of_a_difference, scale.step),
        **found,
        left_out=numbers.left_out,
        cells_left_out=numbers.cells_left_out,
    )


def per_step(unit: str, step: str) -> str:
    """The unit of a slope in words, e.g. "percentage points per halving of alpha"."""
    return f"{unit} per {step}".strip()
