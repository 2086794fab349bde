"""Reasons to distrust that lie in how runs went on: the last round is what counts, and the next may say otherwise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from fedskew.analysis.reasons import Finished, Reason, by_cell, listed, names

LAST = 10
"""Rounds that are looked at, the last ones."""
UNSTEADY = 0.05
"""How far a share may move from round to round, in standard deviations of the last rounds, before it matters."""
WATCHED = ("accuracy", "bias", "backdoor_accuracy")


def course_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Cells whose metrics move more from round to round than from seed to seed.

    Seeds that swing in step agree in every round and tell another story in the next: no interval over seeds shows it.
    """
    found, behind = [], []
    for cell, group in by_cell(runs).items():
        for metric in WATCHED:
            noise = _mean_square([_round_noise(run, metric) for run in group])
            spread = _deviation([run.metric(metric) for run in group])
            if noise >= UNSTEADY and not noise <= spread:
                beside = "" if math.isnan(spread) else f", {100 * spread:.1f} between seeds"
                found.append(
                    f"{cell}: {metric.replace('_', ' ')}, {100 * noise:.1f} points between rounds{beside}"
                )
                behind += group
    if found:
        yield Reason(
            "unsteady-end",
            "serious",
            "metrics still swing in the last rounds, by more than they differ between seeds, so that another number of "
            f"rounds may turn a verdict: {listed(found)}",
            names(behind),
        )


def _round_noise(run: Finished, metric: str) -> float:
    """The standard deviation of a metric from round to round, over the last rounds.

    From successive differences, sqrt(mean(d^2) / 2) (von Neumann et al., Annals of Mathematical Statistics 12, 1941),
    which a steady rise or fall hardly changes. NaN if it was not measured in two rounds.
    """
    values = [record.metrics.get(metric, math.nan) for record in run.records[-LAST:]]
    steps = [after - before for before, after in itertools.pairwise(values)]
    return _mean_square(steps) / math.sqrt(2)


def _mean_square(values: Sequence[float]) -> float:
    """The root of the mean square; NaN of nothing."""
    return math.sqrt(math.fsum(value * value for value in values) / len(values)) if values else math.nan


def _deviation(values: Sequence[float]) -> float:
    """The sample standard deviation; NaN of fewer than two."""
    if len(values) < 2:
        return math.nan
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
