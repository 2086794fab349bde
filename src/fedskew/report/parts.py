"""What pictures show of a large study: it is cut into parts of few series, or few of its labels are chosen.

At most ``MOST_SERIES`` series are in one picture, as many as there are colours. Where the series have several axes, the
study is cut along some of them, one part for each label. Where that leaves too many series or makes too many parts, few
series are chosen; likewise of the labels of the axis from left to right, which have panels of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fedskew.evaluation.metric_table import meaning
from fedskew.report.chosen import evenly, extremes
from fedskew.report.evidence import Evidence
from fedskew.wording import cell_in_words

MOST_SERIES = 7
"""In one picture: as many as there are colours."""
MOST_IN_NEED = 14
"""In one picture, where no cut leaves fewer; those beyond the colours differ in their lines."""
MOST_PARTS = 12
MOST_PANELS, MOST_ACROSS = 24, 12
"""Of one metric: over all parts, and of one part."""


def parts_of(evidence: Evidence, metric: str = "accuracy") -> list[Evidence]:
    """The evidence in parts of few enough series and panels for pictures; one part where nothing needs to be cut.

    Args:
        metric: by whose means series and panels are chosen, where some must be left out.
    """
    if evidence.part is not None:
        return [evidence]
    parts = _cut(evidence)
    if parts is None:
        parts = [few_series(evidence, metric)]
    return [_few_panels(part, min(MOST_ACROSS, max(2, MOST_PANELS // len(parts))), metric) for part in parts]


def _cut(evidence: Evidence) -> list[Evidence] | None:
    """The parts, cut along as few labels of the series' axes as possible; None where there would be too many."""
    if len(evidence.series) <= MOST_SERIES:
        return [evidence]
    axes = [name for name in evidence.study.axes if name != evidence.across]
    cuts = [cut for size in range(1, len(axes)) for cut in itertools.combinations(axes, size)]
    if not cuts:
        return [evidence] if len(evidence.series) <= MOST_IN_NEED else None
    cut = min(cuts, key=lambda cut: _cost(evidence, cut))
    legend = evidence.combinations([name for name in axes if name not in cut])
    labels = [tuple(fixed.values()) for fixed in evidence.combinations(list(cut)).values()]
    if len(legend) > MOST_IN_NEED or len(labels) > MOST_PARTS:
        return None
    return [_part(evidence, number, cut, fixed, legend) for number, fixed in enumerate(labels)]


def few_series(evidence: Evidence, metric: str) -> Evidence:
    """The evidence, with few of its series if they are too many for one picture even in need."""
    names = list(evidence.series)
    if len(names) <= MOST_IN_NEED:
        return evidence
    means = {name: value for name in names if (value := _mean(evidence, name, None, metric)) is not None}
    chosen = extremes(names, means, MOST_SERIES)
    title = evidence.series_title
    rule = f"Of {len(names)} labels of {title}, {len(chosen)} are drawn: {_extreme(metric)}. The tables have them all."
    return replace(evidence, legend={name: evidence.series[name] for name in chosen}, series_rule=rule)


def _few_panels(part: Evidence, most: int, metric: str) -> Evidence:
    """A part with few panels side by side."""
    many = len(part.columns)
    if many <= most:
        return part
    if part.is_numeric():
        panels = evenly(part.columns, most, part.places)
    else:
        means: dict[Any, list[float]] = {}
        for label, series in itertools.product(part.columns, part.series):
            if (value := _mean(part, series, label, metric)) is not None:
                means.setdefault(label, []).append(value)
        panels = extremes(part.columns, {label: sum(v) / len(v) for label, v in means.items()}, most)
    which = "evenly spaced" if part.is_numeric() else _extreme(metric)
    rule = f"Of {many} labels of {part.across}, {len(panels)} have panels of their own: {which}."
    return replace(part, panels=tuple(panels), panel_rule=f"{rule} The tables have them all.")


def _mean(evidence: Evidence, series: str, column: Any, metric: str) -> float | None:
    rows = evidence.cell(series, column)
    value = rows[metric].mean() if metric in rows else float("nan")
    return None if value != value else float(value)


def _extreme(metric: str) -> str:
    return f"the first, and those with the lowest and the highest {meaning(metric).label}"


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


def _without(labels: dict[str, Any], cut: Sequence[str]) -> dict[str, Any]:
    return {name: label for name, label in labels.items() if name not in cut}


def rules_of(parts: Sequence[Evidence]) -> list[str]:
    """What the pictures of these parts leave out, in sentences."""
    return [
        rule
        for rule in dict.fromkeys(r for part in parts for r in (part.series_rule, part.panel_rule))
        if rule
    ]
