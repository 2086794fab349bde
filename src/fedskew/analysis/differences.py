"""Paired differences between two points of an axis: same seed, same other axes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fedskew.analysis.contrasts import Contrast, per_seed
from fedskew.analysis.effects import tested
from fedskew.analysis.estimates import in_table_units
from fedskew.analysis.significance import holm
from fedskew.evaluation.metric_table import meaning
from fedskew.study.across import axis_across, is_numeric
from fedskew.study.grid import Study

MOST_IN_PAIRS = 4
"""Labels of an axis, at most, of which every pair is compared: seven make 21 differences per metric and cell, and few
remain significant after Holm's correction for so many."""


@dataclass(frozen=True)
class Difference:
    """A metric at one point of an axis minus that at another, paired by seed.

    Attributes:
        axis, first, second: the effect is second minus first.
        where: the other axes' labels; empty if it is pooled over them (averaged within each seed first).
        effect: mean over seeds; percentage points where the metric is a share.
        low, high: Student's 95 % interval; NaN for n < 2.
        n: seeds.
        p_value: two-sided paired t-test; NaN for n < 3. Where all seeds give the same difference there is no
            spread to compare it with, and it is ``exact_p``.
        exact_p: two-sided sign-flip test over seeds, exact up to 20 of them.
        smallest_p: the smallest ``exact_p`` that so many seeds can give.
        monte_carlo: whether ``exact_p`` comes from sampled sign vectors (more than 20 seeds).
        runs: the run folders that it comes from.
        left_out: seeds that lack one half of a pair.
        cells_left_out: cells, in words, that too few seeds have (``contrasts``).
        unit: "percentage points", or "" for a metric that is not a share.
        p_holm: filled by ``holm``.
    """

    metric: str
    axis: str
    first: Any
    second: Any
    where: dict[str, Any]
    effect: float
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
    unit: str = ""
    p_holm: float = float("nan")


def paired_differences(
    results: pd.DataFrame,
    study: Study,
    metric: str,
    axis: str,
    first: Any,
    second: Any,
    where: dict[str, Any] | None = None,
) -> list[Difference]:
    """One difference per cell of the other axes (within ``where``) that has pairs, in the order of the study."""
    fixed = where or {}
    others = [name for name in study.axes if name != axis]
    labels = [
        [fixed[name]] if name in fixed else [label for label, _ in study.axes[name].points()]
        for name in others
    ]
    found = [
        pooled_difference(results, study, metric, axis, first, second, dict(zip(others, cell, strict=True)))
        for cell in itertools.product(*labels)
    ]
    return [difference for difference in found if difference is not None]


def pooled_difference(
    results: pd.DataFrame,
    study: Study,
    metric: str,
    axis: str,
    first: Any,
    second: Any,
    where: dict[str, Any] | None = None,
) -> Difference | None:
    """One difference over all cells of the other axes (within ``where``): averaged within each seed, then over
    seeds. None if no seed has a pair in each of the cells."""
    fixed = dict(where or {})
    contrast = Contrast((axis, first, second), where=fixed)
    numbers = per_seed(results, study, in_table_units(results, metric), contrast)
    if numbers is None:
        return None
    return Difference(
        metric=metric,
        axis=axis,
        first=first,
        second=second,
        where=fixed,
        **tested(numbers.values, 0.0, numbers.runs),
        left_out=numbers.left_out,
        cells_left_out=numbers.cells_left_out,
        unit=meaning(metric).of_a_difference,
    )


def study_differences(results: pd.DataFrame, study: Study, metrics: Sequence[str]) -> list[Difference]:
    """The differences between the settings of a study, corrected together (Holm 1979).

    Of every axis but a numeric one that goes from left to right, each pair of labels (of an axis with more than four,
    each label against the first), pooled over the other axes and at each of their cells.
    """
    across = axis_across(study)
    found: list[Difference] = []
    for axis in (name for name in study.axes if name != across or not is_numeric(study.axes[name])):
        labels = [label for label, _ in study.axes[axis].points()]
        pairs = list(itertools.combinations(labels, 2))
        if len(labels) > MOST_IN_PAIRS:
            pairs = pairs[: len(labels) - 1]  # those with the first label
        for metric in metrics:
            for first, second in pairs:
                pooled = pooled_difference(results, study, metric, axis, first, second)
                cells = paired_differences(results, study, metric, axis, first, second)
                found += [pooled] if pooled is not None and len(cells) > 1 else []
                found += cells
    return holm(found)
