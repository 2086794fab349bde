"""The scorecard of an audit: for each spread of the data what a defence costs without an attack, and what is left under
the attack that hurts it most.

The worst attack is that of each seed: the lowest accuracy, the highest backdoor success over all attacks of the suite.
It is what adversaries could have had who knew how each attack would end. So it is worse than the mean of any single
attack, and worse the more attacks there are: it is meant for comparing defences under the same suite.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fedskew.analysis.contrasts import worst_rows
from fedskew.analysis.estimates import Estimate, estimate, in_table_units, within
from fedskew.evaluation.metric_table import meaning
from fedskew.study.audit import Audit
from fedskew.study.grid import Study

WITHOUT = ("accuracy", "worst_class_accuracy", "bias")
"""What is shown of runs without an attack."""
UNDER = ("accuracy", "worst_class_accuracy", "attack_success_rate")
"""What is shown of the worst attack, each metric with its own worst."""


@dataclass(frozen=True)
class Worst:
    """A metric under the attack that is worst in each seed.

    Attributes:
        found: over seeds, in the unit of tables.
        extreme: the worst seed's.
        attack: the label that is the worst in the most seeds, the first of several.
        times: in how many seeds it is.
    """

    found: Estimate
    extreme: float
    attack: Any
    times: int


@dataclass(frozen=True)
class Score:
    """One defence at one spread of the data.

    Attributes:
        spread: the label of the axis that is neither defences nor attacks; None where there is none.
        without: metric -> estimate without an attack; those that were measured.
        under: metric -> under the worst attack; those that were measured.
    """

    spread: Any
    defence: Any
    without: dict[str, Estimate]
    under: dict[str, Worst]


def spread_axis(study: Study, audit: Audit) -> str | None:
    """The axis that is neither that of the defences nor that of the attacks; None where there is none."""
    return next((name for name in study.axes if name not in (audit.defences, audit.attacks)), None)


def scorecard(study: Study, results: pd.DataFrame) -> list[Score]:
    """The scores of an audit, spread by spread, of those that have complete runs: the audited defence first, then the
    others in the order of the study. Nothing for a study that is no audit."""
    audit = study.audit
    if audit is None or results.empty:
        return []
    axis = spread_axis(study, audit)
    spreads = [label for label, _ in study.axes[axis].points()] if axis else [None]
    defences = [label for label, _ in study.axes[audit.defences].points()]
    defences.sort(key=lambda label: label != audit.defence)
    return [
        score
        for spread in spreads
        for defence in defences
        for score in _score(results, audit, {axis: spread} if axis else {}, defence)
    ]


def _score(results: pd.DataFrame, audit: Audit, where: dict[str, Any], defence: Any) -> Iterator[Score]:
    rows = within(results, {**where, audit.defences: defence})
    if rows.empty:
        return
    clean = rows[rows[audit.attacks] == audit.no_attack]
    without = {name: _estimate(clean, name) for name in WITHOUT}
    under = {name: worst_attack(rows, audit, name) for name in UNDER}
    yield Score(
        next(iter(where.values()), None),
        defence,
        {name: found for name, found in without.items() if found.n},
        {name: found for name, found in under.items() if found is not None},
    )


def _estimate(rows: pd.DataFrame, metric: str) -> Estimate:
    values = in_table_units(rows, metric)
    return estimate(values.tolist(), rows["run"].tolist(), bounds=meaning(metric).bounds)


def worst_attack(rows: pd.DataFrame, audit: Audit, metric: str) -> Worst | None:
    """A metric under each seed's worst attack, of one defence at one spread; None where no attack was measured."""
    attacked = rows[rows[audit.attacks] != audit.no_attack]
    if metric not in attacked or attacked[metric].isna().all():
        return None
    highest = meaning(metric).better == "lower"
    worst = worst_rows(attacked.dropna(subset=[metric]), audit.attacks, ["seed"], metric, highest=highest)
    if worst.empty:
        return None
    values = in_table_units(worst, metric)
    ((attack, times),) = Counter(worst[audit.attacks]).most_common(1)
    found = estimate(values.tolist(), worst["run"].tolist(), bounds=meaning(metric).bounds)
    return Worst(found, float(values.max() if highest else values.min()), attack, times)


def harm(study: Study, results: pd.DataFrame, defence: Any) -> dict[Any, float]:
    """By how many percentage points the attacks lower the accuracy of a defence at most: spread -> the largest
    difference, of means over seeds, between no attack and an attack; of spreads that have both."""
    audit = study.audit
    if audit is None or results.empty:
        return {}
    axis = spread_axis(study, audit)
    spreads = [label for label, _ in study.axes[axis].points()] if axis else [None]
    found = {}
    for spread in spreads:
        rows = within(results, {**({axis: spread} if axis else {}), audit.defences: defence})
        if rows.empty:
            continue
        means = in_table_units(rows, "accuracy").groupby(rows[audit.attacks], sort=False).mean()
        drops = means.get(audit.no_attack, math.nan) - means.drop(audit.no_attack, errors="ignore")
        if drops.notna().any():
            found[spread] = float(drops.max())
    return found
