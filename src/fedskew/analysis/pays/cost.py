"""What a defence costs: the paired difference to the same experiment without it, cell by cell.

Which runs are defended and which run is a run's undefended twin is known from the facts of its components. Nothing is
averaged over attacks: a mean of what a defence gains against one and loses against another says nothing of either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fedskew.analysis.distrust.roles import defence_parts, undefended
from fedskew.analysis.effects import Effect, tested
from fedskew.analysis.estimates import cells, in_table_units
from fedskew.components.completed import completed
from fedskew.components.known import is_attacked
from fedskew.study.grid import PlannedRun, Study

PAYING = (
    "accuracy",
    "worst_class_accuracy",
    "worst_group_accuracy",
    "client_accuracy_worst",
    "client_accuracy_worst_tenth",
    "held_out_accuracy_worst",
    "held_out_accuracy_worst_tenth",
)
"""Whose accuracies a defence may cost: everybody's, then those of the worst class, group, client, tenth of clients."""


@dataclass(frozen=True, kw_only=True)
class Cost(Effect):
    """A metric with a defence minus the same without it, paired by seed; percentage points where it is a share.

    Attributes:
        where: the labels of the defended cell.
        attack: the name of the attack in both; "" where there is none.
    """

    where: Mapping[str, Any]
    attack: str
    metric: str


@dataclass(frozen=True)
class Costs:
    """What the defended cells cost; and in words those that have no run without the defence to be compared with."""

    found: tuple[Cost, ...]
    alone: tuple[dict[str, Any], ...]


def defence_costs(
    results: pd.DataFrame, study: Study, planned: Sequence[PlannedRun], metrics: Sequence[str] = PAYING
) -> Costs:
    """The cost of each defended cell that has undefended twins, in the order of the study.

    Args:
        results: as ``results_table`` makes them; a metric that one half of a pair lacks counts as missing.
    """
    plans = {plan.identity: plan for plan in planned}
    found: list[Cost] = []
    alone: list[dict[str, Any]] = []
    values = {metric: dict(_by_run(results, metric)) for metric in metrics}
    done = set(results["run"]) if len(results) else set()
    for cell, group in cells(results, study):
        runs = [plans[run] for run in group["run"]]
        if not defence_parts(runs[0].experiment):
            continue
        pairs = _pairs(runs, done)
        if not pairs:
            alone.append(cell)
        attack = runs[0].experiment.attack.label if is_attacked(runs[0].experiment) else ""
        for metric in metrics:
            known = [
                (run, twin, values[metric][run.identity], values[metric][twin])
                for run, twin in pairs
                if not math.isnan(values[metric][run.identity] + values[metric][twin])
            ]
            if known:
                numbers = {run.seed: with_it - without for run, _, with_it, without in known}
                size = max(abs(one) for *_, with_it, without in known for one in (with_it, without))
                names = tuple(name for run, twin, *_ in known for name in (run.identity, twin))
                effect = tested(numbers, size, names)
                found.append(Cost(**effect, where=cell, attack=attack, metric=metric))
    return Costs(tuple(found), tuple(alone))


def _by_run(results: pd.DataFrame, metric: str) -> list[tuple[str, float]]:
    return list(zip(results["run"], in_table_units(results, metric), strict=True)) if len(results) else []


def _pairs(runs: Sequence[PlannedRun], done: set[str]) -> list[tuple[PlannedRun, str]]:
    """Each run with the name of its undefended twin, where that is complete; all twins of the same kind of average."""
    kinds = zip(*(_twins(run) for run in runs), strict=True)
    found = ([(run, twin) for run, twin in zip(runs, twins, strict=True) if twin in done] for twins in kinds)
    return next(filter(None, found), [])


def _twins(run: PlannedRun) -> list[str]:
    """The names of the runs that are the same experiment without a defence, over each average without one."""
    return [
        completed(run.experiment.model_copy(update=changes), run.completed.version).identity
        for changes in undefended(run.experiment)
    ]
