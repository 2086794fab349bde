"""Who pays for a defence, as tables: the treatment of honest clients by their unusualness, and the paired costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fedskew.analysis.effects import Effect
from fedskew.analysis.pays.cost import PAYING, Cost
from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.numbers import interval, number
from fedskew.report.pays import Told, WhoPays
from fedskew.report.tables.sheet import Sheet
from fedskew.report.tables.statistics import HOLM, TESTED, tested_cells

UNUSUALNESS = (
    "unusualness: total variation distance of the client's label mix to that of all honest clients together, from 0 "
    "(the same) to below 1"
)
DOWN_WEIGHTED = (
    "down-weighted: a weight below half of an equal one, 0 (rejected) included; in percent of the rounds"
)
ALL = "all"
"""Instead of a label: all labels of the axis from left to right together."""
MARK = "*"
EFFECT = ("effect", "low", "high", "n", "p_value", "exact_p", "smallest_p", "monte_carlo", "p_holm")
MOST_METRICS = 4
"""In a page; the file has all."""


def slopes_sheet(evidence: Evidence, found: Sequence[Told]) -> Sheet:
    """How often honest clients are rejected and down-weighted, and how much more often the more unusual ones."""
    rows, plain = [], []
    for one in found:
        steep, rejected, down = one.slope, one.everybody.rejected.mean, one.everybody.down_weighted.mean
        tested = ["–"] * (1 + len(TESTED))
        numbers: list[Any] = [None] * len(EFFECT)
        if steep is not None:
            tested = [number(steep.effect, sign=True), *tested_cells(steep, 2)]
            numbers = _numbers(steep)
        place = _place(evidence, one)
        rows.append([*place, number(rejected), number(down), *tested])
        plain.append([*place, rejected, down, one.everybody.clients, *numbers, " ".join(one.runs)])
    axes = _axes(evidence)
    header = [*axes, "rejected", "down-weighted", "slope", *TESTED]
    columns = [*axes, "rejected", "down_weighted", "clients", "slope", *EFFECT[1:], "runs"]
    notes = (
        DOWN_WEIGHTED,
        "slope: percentage points by which an honest client is down-weighted more often per 0.1 of unusualness; mean "
        "over seeds of each seed's least-squares slope within its runs",
        UNUSUALNESS,
        HOLM,
    )
    return Sheet(
        "who-pays", "How much more often an unusual honest client is down-weighted", header, rows,
        pd.DataFrame(plain, columns=columns), notes, len(axes), tuple(one.runs for one in found),
    )  # fmt: skip


def bins_sheet(evidence: Evidence, found: Sequence[Told]) -> Sheet:
    """The rates in each bin of unusualness."""
    rows, plain = [], []
    for one, some in [(row, some) for row in found for some in row.bins]:
        rate, rejected, weight = some.down_weighted, some.rejected.mean, some.weight.mean
        place = _place(evidence, one)
        rows.append(
            [
                *place,
                f"{some.low:.1f} to {some.high:.1f}",
                number(rate.mean),
                interval(rate.low, rate.high),
                number(rejected),
                number(weight),
                str(some.clients),
                str(rate.n),
            ]
        )
        spread = [rate.std, rate.low, rate.high, rate.n]
        plain.append([*place, some.low, some.high, rate.mean, *spread, rejected, weight, some.clients])
    axes = _axes(evidence)
    header = [
        *axes,
        "unusualness",
        "down-weighted",
        "95 % interval",
        "rejected",
        "weight",
        "clients",
        "seeds",
    ]
    columns = [
        *axes,
        "from",
        "to",
        "down_weighted",
        "std",
        "low",
        "high",
        "n",
        "rejected",
        "weight",
        "clients",
    ]
    notes = (
        DOWN_WEIGHTED,
        "mean over seeds of each seed's mean over its clients in the bin; bins with clients of fewer than three seeds "
        "are left out",
        "weight: in units of an equal one, 1/S of all weight for S clients",
        UNUSUALNESS,
    )
    return Sheet(
        "who-pays-by-unusualness", "Honest clients by how unusual their data is", header, rows,
        pd.DataFrame(plain, columns=columns), notes, len(axes) + 1,
    )  # fmt: skip


def costs_sheet(evidence: Evidence, who: WhoPays) -> Sheet:
    """What each defended cell costs everybody, the worst class, group and client, and the worst tenth of clients."""
    metrics = [metric for metric in PAYING if any(one.metric == metric for one in who.costs.found)]
    by_cell: dict[tuple[Any, ...], dict[str, Cost]] = {}
    for one in who.costs.found:
        by_cell.setdefault(tuple(one.where.values()), {})[one.metric] = one
    rows, runs = [], []
    for labels, costs in by_cell.items():
        seeds = sorted({cost.n for cost in costs.values()})
        many = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        cells = [_cost(costs[metric]) if metric in costs else "–" for metric in metrics]
        attack = next(iter(costs.values())).attack
        rows.append([*map(str, labels), attack or "no", *cells, many])
        runs.append(tuple(dict.fromkeys(run for cost in costs.values() for run in cost.runs)))
    axes = list(evidence.study.axes)
    plain = [
        [*one.where.values(), one.attack, one.metric, *_numbers(one), " ".join(one.runs)]
        for one in who.costs.found
    ]
    header = [*axes, "under attack", *(meaning(metric).label for metric in metrics), "seeds"]
    notes = (
        "with the defence minus without it, in percentage points: mean over seeds of the difference to the run of the "
        "same seed that has no defence and is otherwise the same, and its 95 % interval; negative where the defence "
        "costs accuracy, positive where it saves more than it costs",
        f"{MARK} p < 0.05, two-sided paired t-test after Holm's correction for all numbers of this table; those that "
        "are the same by definition count once",
    )
    first = len(axes) + 1
    columns, rule = (), ""
    if len(metrics) > MOST_METRICS:
        columns = (*range(first + MOST_METRICS), first + len(metrics))
        rule = f"{', '.join(meaning(one).label for one in metrics[MOST_METRICS:])}: in tables/cost-of-defence.csv"
    return Sheet(
        "cost-of-defence", "What a defence costs, and whom", header, rows,
        pd.DataFrame(plain, columns=[*axes, "under_attack", "metric", *EFFECT, "runs"]),
        notes, first, tuple(runs), columns, rule,
    )  # fmt: skip


def _cost(one: Cost) -> str:
    bounds = interval(one.low, one.high, sign=True)
    return f"{number(one.effect, sign=True)} {bounds}" + (f" {MARK}" if one.p_holm < 0.05 else "")


def _numbers(one: Effect) -> list[Any]:
    return [getattr(one, name) for name in EFFECT]


def _axes(evidence: Evidence) -> list[str]:
    return [*([evidence.across] if evidence.across else []), evidence.series_title]


def _place(evidence: Evidence, one: Told) -> list[str]:
    label = ALL if one.label is None else str(one.label)
    return [label, one.series] if evidence.across else [one.series]
