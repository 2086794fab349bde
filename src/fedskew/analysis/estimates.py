"""A mean over seeds with its spread: sample standard deviation and Student's interval (docs/statistics.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from fedskew.study import Study


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, in the unit of the values it was made from.

    Attributes:
        std: sample standard deviation (n - 1); NaN for n < 2.
        low, high: the ends of Student's interval; NaN for n < 2.
        n: how many values there are, without those that are NaN.
        runs: the run folders behind it.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int
    runs: tuple[str, ...] = ()


def estimate(values: Sequence[float], runs: Sequence[str] = (), level: float = 0.95) -> Estimate:
    """Mean, standard deviation and Student's interval of one value per seed."""
    raise NotImplementedError


def estimates(results: pd.DataFrame, study: Study, metrics: Sequence[str]) -> pd.DataFrame:
    """One row per cell and metric that was measured, in the order of the study.

    Columns: the axes, ``metric``, ``mean``, ``std``, ``low``, ``high``, ``n``, ``runs`` (tuple of folder
    names); in percent where the metric is a share.
    """
    raise NotImplementedError
