"""A study with too many series for one picture, cut into parts of few enough."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from fedskew.report.evidence import Evidence
from fedskew.wording import cell_in_words

MOST_SERIES = 7
"""In one picture: as many as there are colours."""


def parts_of(evidence: Evidence) -> list[Evidence]:
    """The evidence in parts of few enough series for one picture: cut along as few labels of the series' axes as
    possible. One part, which is the whole, where the series are few or have one axis only."""
    axes = [name for name in evidence.study.axes if name != evidence.across]
    if evidence.part is not None or len(evidence.series) <= MOST_SERIES or len(axes) < 2:
        return [evidence]
    cuts = [cut for size in range(1, len(axes)) for cut in itertools.combinations(axes, size)]
    cut = min(cuts, key=lambda cut: _cost(evidence, cut))
    legend = evidence.combinations([name for name in axes if name not in cut])
    labels = [tuple(fixed.values()) for fixed in evidence.combinations(list(cut)).values()]
    return [_part(evidence, number, cut, fixed, legend) for number, fixed in enumerate(labels)]


def _cost(evidence: Evidence, cut: tuple[str, ...]) -> tuple[bool, int]:
    """Whether a cut leaves too many series in a picture; and how many parts it makes, or then how many series it
    leaves."""
    parts = {tuple(labels[axis] for axis in cut) for labels in evidence.series.values()}
    rest = {tuple(_without(labels, cut).values()) for labels in evidence.series.values()}
    many = len(rest) > MOST_SERIES
    return many, len(rest) if many else len(parts)


def _part(
    evidence: Evidence,
    number: int,
    cut: tuple[str, ...],
    fixed: tuple[Any, ...],
    legend: dict[str, dict[str, Any]],
) -> Evidence:
    """The runs with these labels of the cut's axes, as a study without those axes."""
    planned = [
        replace(plan, cell=_without(plan.cell, cut))
        for plan in evidence.planned
        if tuple(plan.cell[axis] for axis in cut) == fixed
    ]
    results = evidence.results
    if evidence.done:
        for axis, label in zip(cut, fixed, strict=True):
            results = results[results[axis] == label].drop(columns=axis)
    own = {plan.identity for plan in planned}
    axes = _without(evidence.study.axes, cut)
    return replace(
        evidence,
        study=evidence.study.model_copy(update={"axes": axes, "exclude": (), "claims": ()}),
        planned=planned,
        results=results,
        records={run: records for run, records in evidence.records.items() if run in own},
        notes=[note for note in evidence.notes if note.plan.identity in own],
        part=(number, cell_in_words(dict(zip(cut, fixed, strict=True)))),
        legend=legend,
    )


def _without(labels: dict[str, Any], cut: tuple[str, ...]) -> dict[str, Any]:
    return {name: label for name, label in labels.items() if name not in cut}
