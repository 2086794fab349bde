"""One number per seed: a difference, a slope, or the slope of a difference of what its runs measured.

Cells of several alphas that share a seed are not independent, so everything is brought to one number per seed
first, and only those are tested. All seeds must answer the same question, so where runs are missing the largest
complete block of seeds x cells counts, and what is left out is named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from fedskew.analysis.estimates import within
from fedskew.analysis.worst import Worst, worst_rows
from fedskew.study.grid import Study
from fedskew.wording import cell_in_words

WIDE = 4
"""An axis of positive numbers that spans this factor is taken as a logarithmic one."""


@dataclass(frozen=True)
class Contrast:
    """What is formed within each seed; averaged over the axes that are not named.

    Attributes:
        compare: (axis, first, second): second minus first, cell by cell of the other axes.
        over: a numeric axis or a ``skew_...`` column: the least-squares slope over it.
        where: {axis: label} that are fixed.
        worst: of an axis the worst value counts, not the mean.
    """

    compare: tuple[str, Any, Any] | None = None
    over: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    worst: Worst | None = None


@dataclass(frozen=True)
class PerSeed:
    """The numbers, seeds in ascending order.

    Attributes:
        values: seed -> number.
        runs: the run folders that they come from.
        left_out: seeds that have some of the runs that they need, but not all.
        cells_left_out: cells, in words, that only seeds have which are left out, or too few of the others.
        cells: where each seed's number is a mean over cells: cell, in words -> its own mean over seeds.
        singles: where no slope is formed: cell, in words -> seed -> its number there.
    """

    values: dict[int, float]
    runs: tuple[str, ...]
    left_out: tuple[int, ...]
    cells_left_out: tuple[str, ...] = ()
    cells: Mapping[str, float] = field(default_factory=dict)
    singles: Mapping[str, Mapping[int, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Scale:
    """Where the points of an axis lie for a slope, and the words for one step.

    Attributes:
        places: label -> x; None for a measured skew, whose values are those of the runs.
        step: e.g. "halving of alpha".
    """

    places: dict[Any, float] | None
    step: str


def scale_of(study: Study, name: str) -> Scale | None:
    """The scale of an axis or of a measured skew; None if it is neither numeric nor known.

    Over the concentration of the split x = -log2(alpha): a step to the right is a halving, and more heterogeneous.
    Another axis of positive numbers that spans a factor of 4 has x = log2(value), any other x = value.
    """
    if name.startswith("skew_"):
        return Scale(None, f"unit of {name.removeprefix('skew_').replace('_', ' ')}")
    if name not in study.axes:
        return None
    axis = study.axes[name]
    numbers: dict[Any, float] = {}
    for label, _ in axis.points():
        try:
            numbers[label] = math.nan if isinstance(label, bool) else float(label)
        except ValueError:
            return None
    values = list(numbers.values())
    if not all(map(math.isfinite, values)):
        return None
    positive = min(values) > 0
    if positive and is_concentration(study, name):
        return Scale({label: -math.log2(x) for label, x in numbers.items()}, f"halving of {name}")
    if positive and max(values) / min(values) >= WIDE:
        return Scale({label: math.log2(x) for label, x in numbers.items()}, f"doubling of {name}")
    return Scale(numbers, f"unit of {name}")


def is_concentration(study: Study, axis: str) -> bool:
    """Whether an axis is the concentration of the split: one called alpha, or of a field that ends in ``.alpha``."""
    return axis == "alpha" or (study.axes[axis].field or "").endswith(".alpha")


@dataclass(frozen=True)
class _Point:
    """What one cell of one seed gives: a value, where it lies on the scale, and the runs that it comes from."""

    y: float
    x: float
    runs: tuple[str, ...]


_Cell: TypeAlias = tuple[Any, ...]
_Points: TypeAlias = dict[int, dict[_Cell, _Point]]


def per_seed(
    results: pd.DataFrame, study: Study, values: pd.Series[float], contrast: Contrast
) -> PerSeed | None:
    """The number of each seed.

    Args:
        values: what was measured in each row of ``results``; rows where it is NaN count as missing.

    Returns:
        None if no seed has the runs that it needs.
    """
    if results.empty:
        return None
    x: pd.Series[float] = pd.Series(0.0, index=results.index)
    if contrast.over is not None:
        scale = scale_of(study, contrast.over)
        if scale is None or contrast.over not in results:
            return None
        x = results[contrast.over]
        x = (x if scale.places is None else x.map(scale.places)).astype(float)
    scope = within(results.assign(**{_Y: values, _X: x}), dict(contrast.where))
    axes = list(study.axes)
    if contrast.worst is not None:
        axis = contrast.worst.axis
        axes.remove(axis)
        known = scope[scope[axis] != contrast.worst.besides].dropna(subset=[_Y, _X])
        scope = worst_rows(known, axis, [*axes, "seed"], _Y, highest=contrast.worst.highest)
    if contrast.compare is None:
        points = _points(scope, axes)
    else:
        axis, first, second = contrast.compare
        axes.remove(axis)
        scope = scope[scope[axis].isin([first, second])]
        points = _differences(
            _points(scope[scope[axis] == first], axes), _points(scope[scope[axis] == second], axes)
        )
    numbers, block = _largest_block(points, contrast.over is not None)
    if not numbers:
        return None
    step = _step(scope, contrast.over is not None)
    used = [point for seed in numbers for cell, point in points[seed].items() if cell in block]
    outside = dict.fromkeys(cell for cells in points.values() for cell in cells if cell not in block)

    def in_words(cell: _Cell) -> str:
        named = dict(zip(axes, cell, strict=True))
        return cell_in_words({axis: label for axis, label in named.items() if axis not in contrast.where})

    ordered = dict.fromkeys(cell for cells in points.values() for cell in cells if cell in block)
    formed = ordered if contrast.over is None else {}
    singles = {in_words(cell): {seed: points[seed][cell].y for seed in numbers} for cell in formed}
    return PerSeed(
        {seed: round(number / step) * step if step else 0.0 for seed, number in numbers.items()},
        tuple(dict.fromkeys(run for point in used for run in point.runs)),
        tuple(sorted(set(map(int, scope["seed"])) - set(numbers))),
        tuple(map(in_words, outside)),
        {cell: float(np.mean(list(found.values()))) for cell, found in singles.items()}
        if len(block) > 1
        else {},
        singles,
    )


def _largest_block(points: _Points, slope: bool) -> tuple[dict[int, float], frozenset[_Cell]]:
    """The numbers of the seeds, in order, in the complete block of seeds x cells that has the most runs.

    Of blocks of the same size it is the one with more cells, which covers more of the question.
    """
    best: tuple[dict[int, float], frozenset[_Cell]] = ({}, frozenset())
    candidates = dict.fromkeys(frozenset(cells) for _, cells in sorted(points.items()))
    for block in sorted(candidates, key=len, reverse=True):
        numbers = {
            seed: _number([point for cell, point in cells.items() if cell in block], slope)
            for seed, cells in sorted(points.items())
            if block <= cells.keys()
        }
        numbers = {seed: number for seed, number in numbers.items() if not math.isnan(number)}
        if len(numbers) * len(block) > len(best[0]) * len(best[1]):
            best = (numbers, block)
    return best


_Y, _X = "value of the contrast", "place of the contrast"  # no axis is called so


def _points(frame: pd.DataFrame, axes: Iterable[str]) -> _Points:
    found: _Points = {}
    for row in frame.dropna(subset=[_Y, _X]).to_dict("records"):
        cell = tuple(row[axis] for axis in axes)
        found.setdefault(int(row["seed"]), {})[cell] = _Point(row[_Y], row[_X], (str(row["run"]),))
    return found


def _differences(first: _Points, second: _Points) -> _Points:
    """Second minus first of every pair; where their measured skew differs they lie at its middle."""
    return {
        seed: {
            cell: _Point(two.y - one.y, (one.x + two.x) / 2, one.runs + two.runs)
            for cell, one in first[seed].items()
            if (two := second[seed].get(cell)) is not None
        }
        for seed in first.keys() & second.keys()
    }


def _number(points: list[_Point], slope: bool) -> float:
    """The mean of the points, or their least-squares slope; NaN where it is not defined."""
    points = list({point.runs: point for point in points}.values())  # two labels for one value are one point
    if not points:
        return math.nan
    y = np.array([point.y for point in points])
    if not slope:
        return float(y.mean())
    x = np.array([point.x for point in points])
    x = x - x.mean()
    return float(x @ y / (x @ x)) if np.ptp(x) > 0 else math.nan


def _step(scope: pd.DataFrame, slope: bool) -> float:
    """What the numbers are rounded to: 1e-12 of the values they come from.

    Differences that are equal on paper differ in their last bits, and a t-test would take that for a spread.
    """
    known = scope.dropna(subset=[_Y, _X])
    size = float(np.abs(known[_Y]).max())
    return 1e-12 * size / (float(np.ptp(known[_X])) if slope else 1.0)
