"""What is said of the runs of a study, each sentence once and with the labels of the runs that it is true of."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from fedskew.components.table import BUILT_IN
from fedskew.config import Experiment
from fedskew.report.evidence import Evidence

MOST = 24
"""Sentences that are told: as many as a thorough audit has attacks."""
MOST_LABELS = 6
"""Labels that one sentence names."""
TOLD = ("attack", "transform", "aggregator", "learning-rate", "server-step", "privacy-attack")
"""Kinds of components of which the sentences say what they do."""


def told(evidence: Evidence, words_of: Callable[[Experiment], str]) -> str:
    """What ``words_of`` says of the runs, in the order of the study; what a component does is said where it is first
    named."""
    cells: dict[str, list[dict[str, object]]] = {}
    for plan in evidence.planned:
        cells.setdefault(words_of(plan.experiment), []).append(plan.cell)
    axes = _telling(list(evidence.study.axes), list(cells.values()))
    parts = []
    for words, theirs in list(cells.items())[:MOST]:
        of = _labels(evidence, axes, theirs)
        parts.append(f"{of}: {words}" if of and of != words else words)
    text = ". ".join(parts) + (f". {len(cells) - MOST} more" if len(cells) > MOST else "") + "."
    own = [str(one.get("summary", "")) for one in evidence.own_words.values()]
    rows = [row.summary for kind in TOLD for row in BUILT_IN[kind].values()]
    for summary in sorted({f", {words}" for words in [*own, *rows] if words}, key=len, reverse=True):
        first, found, rest = text.partition(summary)
        text = first + found + rest.replace(summary, "")
    return text


def _telling(axes: list[str], groups: Sequence[list[dict[str, object]]]) -> tuple[str, ...]:
    """The fewest axes, the first of several, whose labels tell which group a cell is in; none for one group."""
    for size in range(len(axes) if len(groups) > 1 else 0):
        for some in itertools.combinations(axes, size + 1):
            labels = [{tuple(str(cell[axis]) for axis in some) for cell in group} for group in groups]
            if sum(map(len, labels)) == len(set().union(*labels)):
                return some
    return ()


def _labels(evidence: Evidence, axes: Sequence[str], cells: list[dict[str, object]]) -> str:
    """The labels of these axes that name cells; a number with the name of its axis."""
    named = [axis if evidence.study.axes[axis].variants is None else "" for axis in axes]
    found = [
        " + ".join(f"{name} {cell[axis]}".strip() for name, axis in zip(named, axes, strict=True))
        for cell in cells
    ]
    labels = list(dict.fromkeys(found))
    more = f" and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
    return ", ".join(labels[:MOST_LABELS]) + more
