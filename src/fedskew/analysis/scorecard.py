"""The scorecard of an audit: for each spread of the data what a defence costs without an attack, and what is left under
the attack that hurts it most.

The worst attack is that of each seed: the lowest accuracy, the highest backdoor success over all attacks of the suite.
It is what adversaries could have had who knew the end of each attack beforehand. So it is worse than the mean of
any single attack, and worse the more attacks there are: it is meant for comparing defences under the same suite. Where
a run of some attack is missing, its seed is left out, for the worst of fewer would look better.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from fedskew.analysis.contrasts import is_concentration
from fedskew.analysis.estimates import Estimate, estimate, in_table_units, within
from fedskew.analysis.worst import worst_rows
from fedskew.evaluation.leakage_table import leakage_row
from fedskew.evaluation.metric_table import meaning
from fedskew.study.across import is_numeric
from fedskew.study.audit import Audit
from fedskew.study.grid import Study

WITHOUT = ("accuracy", "worst_class_accuracy", "worst_group_accuracy", "bias")
"""What is shown of runs without an attack."""
UNDER = ("accuracy", "worst_class_accuracy", "worst_group_accuracy", "attack_success_rate")
"""What is shown of the worst attack, each metric with its own worst."""


@dataclass(frozen=True)
class WorstCase:
    """A metric under the attack that is worst in each seed.

    Attributes:
        found: over seeds, in the unit of tables.
        extreme: the worst seed's.
        attacks: the labels that are the worst in the most seeds, in the order of the study; several where they tie.
        times: in how many seeds each of them is the worst, alone or with others.
    """

    found: Estimate
    extreme: float
    attacks: tuple[Any, ...]
    times: int


@dataclass(frozen=True)
class Score:
    """One defence at one spread of the data.

    Attributes:
        spread: the label of the axis that is neither defences nor attacks; None where there is none.
        without: metric -> estimate without an attack; those that were measured.
        under: metric -> under the worst attack; those that were measured.
        leaks: metric of a privacy attack -> estimate without an attack; those that were measured.
    """

    spread: Any
    defence: Any
    without: dict[str, Estimate]
    under: dict[str, WorstCase]
    leaks: dict[str, Estimate] = field(default_factory=dict)


def spread_axis(study: Study, audit: Audit) -> str | None:
    """The axis that is neither that of the defences nor that of the attacks; None where there is none."""
    return next((name for name in study.axes if name not in (audit.defences, audit.attacks)), None)


def spreads(study: Study, audit: Audit) -> list[Any]:
    """The labels of that axis, in the order of the study; None alone where there is none."""
    axis = spread_axis(study, audit)
    return [label for label, _ in study.axes[axis].points()] if axis else [None]


def extreme_spreads(study: Study, audit: Audit) -> list[Any]:
    """The most even and the most uneven of the spreads: the first and the last of the study, or the largest and the
    smallest concentration."""
    found, axis = spreads(study, audit), spread_axis(study, audit)
    if axis is not None and is_numeric(study.axes[axis]) and is_concentration(study, axis):
        found = sorted(found, key=float, reverse=True)
    return list(dict.fromkeys([found[0], found[-1]]))


def defences(study: Study, audit: Audit) -> list[Any]:
    """The labels of the defences: the audited one first, then the others in the order of the study."""
    labels = [label for label, _ in study.axes[audit.defences].points()]
    return sorted(labels, key=lambda label: label != audit.defence)


def what_is_left(
    results: pd.DataFrame, accuracy: str = "accuracy", success: str = "attack_success_rate"
) -> pd.Series[float]:
    """What an attack leaves of each run, a fraction: the accuracy or, if that is lower, the share of triggered images
    that a backdoor does not turn."""
    left = results[accuracy].astype(float)
    if success not in results:
        return left
    kept = 1 - results[success].astype(float)
    return left.where(~(kept < left), kept)


def worst_runs(study: Study, results: pd.DataFrame, metric: str, ties: bool = False) -> pd.DataFrame:
    """Of each spread, defence and seed the run under the attack that is worst for a metric, the first of several; of
    those that have a run of every attack for which any defence has this metric.

    Args:
        ties: all of several instead of the first.
    """
    audit = study.audit
    if audit is None or metric not in results:
        return results.iloc[:0]
    known = results[results[audit.attacks] != audit.no_attack].dropna(subset=[metric])
    by = [*(name for name in study.axes if name != audit.attacks), "seed"]
    highest = meaning(metric).better == "lower"
    return worst_rows(known, audit.attacks, by, metric, highest=highest, ties=ties)


def scorecard(study: Study, results: pd.DataFrame) -> list[Score]:
    """The scores of an audit, spread by spread, of those that have complete runs: the audited defence first, then the
    others in the order of the study. Nothing for a study that is no audit."""
    audit = study.audit
    if audit is None or results.empty:
        return []
    axis = spread_axis(study, audit)
    worst = {metric: worst_runs(study, results, metric, ties=True) for metric in UNDER}
    found = []
    for spread in spreads(study, audit):
        for defence in defences(study, audit):
            where = {**({axis: spread} if axis else {}), audit.defences: defence}
            rows = within(results, where)
            if rows.empty:
                continue
            clean = rows[rows[audit.attacks] == audit.no_attack]
            without = {name: _estimate(clean, name) for name in WITHOUT}
            leaks = {
                name: _estimate(clean, name) for name in map(str, results) if leakage_row(name) is not None
            }
            under = {name: _worst(within(rows, where), audit, name) for name, rows in worst.items()}
            found.append(
                Score(
                    spread,
                    defence,
                    {name: one for name, one in without.items() if one.n},
                    {name: one for name, one in under.items() if one is not None},
                    {name: one for name, one in leaks.items() if one.n},
                )
            )
    return found


def _estimate(rows: pd.DataFrame, metric: str) -> Estimate:
    values = in_table_units(rows, metric)
    return estimate(values.tolist(), rows["run"].tolist(), bounds=meaning(metric).bounds)


def _worst(ties: pd.DataFrame, audit: Audit, metric: str) -> WorstCase | None:
    if ties.empty:
        return None
    rows = ties.drop_duplicates("seed")
    values = in_table_units(rows, metric)
    extreme = values.max() if meaning(metric).better == "lower" else values.min()
    counts = Counter(ties[audit.attacks])
    times = max(counts.values())
    attacks = tuple(attack for attack, many in counts.items() if many == times)
    return WorstCase(_estimate(rows, metric), float(extreme), attacks, times)


def harm(study: Study, results: pd.DataFrame, defence: Any) -> dict[Any, float]:
    """By how many percentage points the attacks lower the accuracy of a defence at most: spread -> the largest of the
    attacks' mean differences to no attack on the same seeds; of spreads that have both."""
    audit = study.audit
    if audit is None or results.empty:
        return {}
    axis = spread_axis(study, audit)
    found = {}
    for spread in spreads(study, audit):
        rows = within(results, {**({axis: spread} if axis else {}), audit.defences: defence})
        values = rows.assign(value=in_table_units(rows, "accuracy")).pivot_table(
            index="seed", columns=audit.attacks, values="value"
        )
        if audit.no_attack not in values or values.shape[1] < 2:
            continue
        drops = values.drop(columns=audit.no_attack).rsub(values[audit.no_attack], axis=0).mean()
        if drops.notna().any():
            found[spread] = float(drops.max())
    return found
