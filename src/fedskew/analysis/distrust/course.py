"""Reasons to distrust that lie in how runs went on: the last round is what counts, and the next may say otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fedskew.analysis.distrust.reasons import Finished, Reason, by_cell, listed, names

LAST, FEWEST = 10, 5
"""Rounds that are looked at, the last ones, and how many there must be."""
UNSTEADY = 0.05
"""How far a mean over seeds may move from round to round, in standard deviations, before it matters: 5 points."""
BEYOND = 2.0
"""How many times the standard error it must move: seeds that swing independently move it by once."""
WATCHED = ("accuracy", "bias", "backdoor_accuracy")


def course_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Cells whose mean over seeds swings in the last rounds by more than the spread over seeds explains.

    Seeds that swing in step agree in every round and tell another story in the next: no interval over seeds shows it.
    """
    found, behind = [], []
    for cell, group in by_cell(runs).items():
        for metric in WATCHED:
            course = _last_rounds(group, metric)
            if course.shape[1] < FEWEST or not len(course):
                continue
            noise, error = _noise(course.mean(axis=0)), _standard_error(course)
            if noise >= UNSTEADY and not noise <= BEYOND * error:
                beside = "one seed" if math.isnan(error) else f"standard error over seeds {100 * error:.1f}"
                found.append(
                    f"{cell}: {metric.replace('_', ' ')}, {100 * noise:.1f} points between rounds, {beside}"
                )
                behind += group
    if found:
        yield Reason(
            "unsteady-end",
            "serious",
            "means over seeds still swing in the last rounds, by more than the spread over seeds explains, so that "
            f"another number of rounds may turn a verdict: {listed(found)}",
            names(behind),
        )


def _last_rounds(group: Sequence[Finished], metric: str) -> npt.NDArray[np.float64]:
    """float64 [seeds, rounds]: the metric in the last rounds that all runs have; seeds without one of them left out."""
    rounds = min(LAST, *(len(run.records) for run in group))
    values = [
        [record.metrics.get(metric, math.nan) for record in run.records[len(run.records) - rounds :]]
        for run in group
    ]
    course = np.array(values, dtype=np.float64).reshape(len(group), rounds)
    whole: npt.NDArray[np.float64] = course[~np.isnan(course).any(axis=1)]
    return whole


def _noise(course: npt.NDArray[np.float64]) -> float:
    """The standard deviation from round to round of a series, from its second differences, sqrt(mean(d^2) / 6), which
    no steady rise or fall changes (differences against trends: von Neumann et al., Annals of Mathematical Statistics
    12, 1941)."""
    return math.sqrt(float(np.mean(np.diff(course, n=2) ** 2)) / 6)


def _standard_error(course: npt.NDArray[np.float64]) -> float:
    """Of the mean over seeds, in a round like these: their variances pooled; NaN of one seed."""
    seeds = len(course)
    return math.sqrt(float(course.var(axis=0, ddof=1).mean()) / seeds) if seeds > 1 else math.nan
