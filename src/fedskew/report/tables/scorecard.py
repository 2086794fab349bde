"""The scorecard of an audit as tables: the defences under their worst attacks, and every attack by itself."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import pandas as pd

from fedskew.analysis.estimates import Estimate, estimate, in_table_units, within
from fedskew.analysis.scorecard import (
    UNDER,
    WITHOUT,
    Score,
    WorstCase,
    defences,
    scorecard,
    spread_axis,
    spreads,
)
from fedskew.components.adapting import adapts
from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.numbers import alike_note, number, with_interval
from fedskew.report.tables.compared import compared_sheets
from fedskew.report.tables.leaks import leaks_sheets
from fedskew.report.tables.sheet import Sheet
from fedskew.runs.folder import RunFolder
from fedskew.study.audit import Audit

FEW_IMAGES = 10_000
"""Training images below which an audit is a demonstration."""
MOST_NAMED = 2
"""Attacks that are named where several are the worst in as many seeds."""


def scorecard_sheets(evidence: Evidence) -> list[Sheet]:
    """The tables of an audit; none of a study that is no audit, or without complete runs."""
    audit = evidence.study.audit
    scores = scorecard(evidence.study, evidence.results)
    if audit is None or not scores:
        return []
    return [
        _scorecard(evidence, audit, scores),
        *leaks_sheets(evidence),
        *compared_sheets(evidence),
        _attacks(evidence, audit),
    ]


def _scorecard(evidence: Evidence, audit: Audit, scores: list[Score]) -> Sheet:
    axis = spread_axis(evidence.study, audit)
    without = [name for name in WITHOUT if any(name in score.without for score in scores)]
    under = [name for name in UNDER if any(name in score.under for score in scores)]
    header = [
        *([axis] if axis else []),
        audit.defences,
        *(f"{meaning(name).label}, {audit.no_attack}" for name in without),
        *(f"{meaning(name).label}, worst {audit.attacks}" for name in under),
        "server [ms]",
    ]
    rows, numbers, runs = [], [], []
    for score in scores:
        labels = [*([str(score.spread)] if axis else []), str(score.defence)]
        clean = [_estimate(score.without.get(name)) for name in without]
        took = _milliseconds(evidence, score)
        worst = [_worst(score.under.get(name)) for name in under]
        rows.append([*labels, *clean, *worst, number(took, 1)])
        numbers.append(_numbers(axis, audit, score) | {"server milliseconds": took})
        found = [*score.without.values(), *(worst.found for worst in score.under.values())]
        runs.append(tuple(dict.fromkeys(run for one in found for run in one.runs)))
    notes = (
        "mean over seeds with its 95 % interval, after the last round, in percent",
        f"worst {audit.attacks}: in each seed the one that is worst there, for each metric by itself; named is the one "
        "that is worst in the most seeds, alone or with others, and in how many of how many",
        "server: time to aggregate the updates of one round without an attack, median over the rounds, on the machine "
        "that ran them and under its load",
        f"options: {audit.tuned}" if audit.tuned else "options were not tuned (`fedskew audit --tune`)",
        *alike_note(rows),
        *_few_images(evidence),
    )
    headings = 2 if axis else 1
    return Sheet("scorecard", "Scorecard", header, rows, pd.DataFrame(numbers), notes, headings, tuple(runs))


def _milliseconds(evidence: Evidence, score: Score) -> float:
    """The median, over all rounds of its runs without an attack, of the time from the updates to the next model."""
    runs = {run for found in score.without.values() for run in found.runs}
    times = [
        seconds
        for run in sorted(runs)
        for seconds in RunFolder.below(evidence.path, run).read_seconds("aggregation")
    ]
    return 1000 * median(times) if times else math.nan


def _estimate(found: Estimate | None) -> str:
    return "–" if found is None else with_interval(found)


def _few_images(evidence: Evidence) -> list[str]:
    """A note where the data is too small for a result."""
    images = evidence.size[1]
    if images is None or images >= FEW_IMAGES:
        return []
    return [
        f"with {images:,} training images this audit is a demonstration; a result needs a larger data set and ten seeds"
    ]


def _worst(worst: WorstCase | None) -> str:
    if worst is None:
        return "–"
    named = list(map(str, worst.attacks))
    more = f" and {len(named) - 1} more" if len(named) > MOST_NAMED else ""
    attacks = f"{named[0]}{more}" if more else " and ".join(named)
    return f"{_estimate(worst.found)} {attacks} ({worst.times}/{worst.found.n})"


def _numbers(axis: str | None, audit: Audit, score: Score) -> dict[str, Any]:
    row: dict[str, Any] = {**({axis: score.spread} if axis else {}), audit.defences: score.defence}
    for name, found in score.without.items():
        row |= {f"{name} {part}": getattr(found, part) for part in ("mean", "std", "low", "high", "n")}
    for name, worst in score.under.items():
        of = f"worst {name}"
        row |= {f"{of} {part}": getattr(worst.found, part) for part in ("mean", "std", "low", "high", "n")}
        row |= {
            f"{of} seed": worst.extreme,
            f"{of} {audit.attacks}": "; ".join(map(str, worst.attacks)),
            f"{of} times": worst.times,
        }
    return row


def _attacks(evidence: Evidence, audit: Audit) -> Sheet:
    """One row per spread and attack, one column per defence: accuracy and, of a backdoor, its success."""
    study, results = evidence.study, evidence.results
    axis = spread_axis(study, audit)
    attacks = [label for label, _ in study.axes[audit.attacks].points()]
    shown = defences(study, audit)
    threats = dict(zip(results["run"], results["threat_model"], strict=True))
    knowing = {
        plan.cell[audit.attacks]
        for plan in evidence.planned
        if plan.identity in threats
        and adapts(plan.experiment.attack, threats[plan.identity], plan.experiment.defence)
    }
    rows, numbers, runs = [], [], []
    for spread in spreads(study, audit):
        for attack in attacks:
            where = {**({axis: spread} if axis else {}), audit.attacks: attack}
            there = within(results, where)
            if there.empty:
                continue
            cells = [within(there, {audit.defences: defence}) for defence in shown]
            mark = " *" if attack in knowing else ""
            rows.append(
                [*([str(spread)] if axis else []), f"{attack}{mark}", *(_both(cell) for cell in cells)]
            )
            row: dict[str, Any] = dict(where)
            for defence, cell in zip(shown, cells, strict=True):
                for metric in ("accuracy", "attack_success_rate"):
                    row[f"{defence} {metric}"] = _mean(cell, metric)
            numbers.append(row)
            runs.append(tuple(there["run"]))
    notes = ["accuracy, and in brackets the attack success rate of a backdoor; means over seeds in percent"]
    if knowing:
        notes.append(
            "* these attacks know a defence: they try their updates on it, or keep to the norm that it allows"
        )
    header = [*([axis] if axis else []), audit.attacks, *map(str, shown)]
    headings = 2 if axis else 1
    frame = pd.DataFrame(numbers)
    return Sheet("attacks", "Every attack", header, rows, frame, tuple(notes), headings, tuple(runs))


def _mean(rows: pd.DataFrame, metric: str) -> float:
    return estimate(in_table_units(rows, metric).tolist()).mean


def _both(rows: pd.DataFrame) -> str:
    success = _mean(rows, "attack_success_rate")
    return number(_mean(rows, "accuracy"), 1) + (f" ({number(success, 1)})" if success == success else "")
