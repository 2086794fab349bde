"""Runs, rounds and what components trace as frames: every row begins with the axes' labels, the seed and the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from fedskew.analysis.tables import results_row
from fedskew.components.columns import CLIENTS, LONG, RUNS
from fedskew.protocols import RoundRecord
from fedskew.study.grid import PlannedRun
from fedskew.study.notes import RunNote

Recorded: TypeAlias = tuple[PlannedRun, Sequence[RoundRecord]]
"""A planned run and its rounds."""

OTHERS = frozenset({*RUNS, *LONG, *CLIENTS, "accuracy"})
"""Columns that an axis may not take the place of."""


def labels(plan: PlannedRun, taken: Iterable[str] = OTHERS) -> dict[str, Any]:
    """What every row about a run begins with. An axis that is called like another column is ``axis NAME``."""
    return {**named_apart(plan.cell, taken), "seed": plan.seed, "run": plan.identity}


def named_apart(cell: Mapping[str, Any], taken: Iterable[str]) -> dict[str, Any]:
    """The labels of a cell by the columns that they have beside these others.

    >>> named_apart({"alpha": 1.0, "round": 2}, ["round"])
    {'alpha': 1.0, 'axis round': 2}
    """
    reserved = set(taken)
    return {f"axis {name}" if name in reserved else name: label for name, label in cell.items()}


def runs_frame(notes: Iterable[RunNote]) -> pd.DataFrame:
    """One row per run: how it went and, of a complete one, every metric of the last round and the measured skew.

    Raises:
        RunError: a result is damaged.
    """
    rows = []
    for note in notes:
        where = note.session
        row: dict[str, Any] = labels(note.plan) | {
            "status": note.state,
            "why": note.why,
            "rounds": note.rounds,
            "seconds": note.seconds,
            "sessions": len(note.sessions),
            "stopped": "",
            "engine": (where.engine or "").partition(" ")[0],
            "device": where.device,
            "workers": where.workers,
            "started": where.started,
            "commit": where.commit,
            "threat_model": "",
            "diverged": "",
        }
        result = note.folder.read_result() if note.status == "done" else None
        if result is not None:
            known = results_row(note.plan, result)
            row |= {name: value for name, value in known.items() if name not in note.plan.cell}
        rows.append(row)
    return pd.DataFrame(rows)


def rounds_frame(runs: Iterable[Recorded]) -> pd.DataFrame:
    """The metrics of every round, long: ``round``, ``metric``, ``value``."""

    def values(record: RoundRecord) -> Iterator[tuple[Any, ...]]:
        for name, value in record.metrics.items():
            yield record.round, name, value

    return _long(runs, values, ("round", "metric", "value"))


def wide_rounds_frame(runs: Iterable[Recorded]) -> pd.DataFrame:
    """The metrics of every round, wide: a row per run and round, a column per metric."""
    rows = [
        labels(plan) | {"round": record.round} | record.metrics
        for plan, records in runs
        for record in records
    ]
    return pd.DataFrame(rows)


def trace_entries(record: RoundRecord) -> Iterator[tuple[str, int | None, float]]:
    """The name, the client if it concerns one, and the value of everything that one round recorded of the defence."""
    for name, value in record.trace.items():
        yield name, None, value
    for client, weight in record.client_weights.items():
        yield "weight", client, weight
    for name, clients in (("rejected", record.rejected), ("empty", record.empty)):
        for client in clients:
            yield name, client, 1.0


def traces_frame(runs: Iterable[Recorded]) -> pd.DataFrame:
    """What was recorded of the defence in every round, long: ``round``, ``name``, ``client``, ``value``.

    An entry of a component's trace (``epsilon``, say) has its own name and no client. Of each client that it
    concerns: ``weight``, its weight in the aggregate where the rule says it; ``rejected``, 1 where its update was not
    finite; ``empty``, 1 where it took part without data.
    """

    def values(record: RoundRecord) -> Iterator[tuple[Any, ...]]:
        for name, client, value in trace_entries(record):
            yield record.round, name, client, value

    frame = _long(runs, values, ("round", "name", "client", "value"))
    return frame.astype({"client": "Int64"})


def accuracies_frame(runs: Iterable[Recorded]) -> pd.DataFrame:
    """Accuracies of classes and groups on the clean test images, long: ``round``, ``class`` (its number) or ``group``
    (its name), ``accuracy``."""

    def values(record: RoundRecord) -> Iterator[tuple[Any, ...]]:
        for number, accuracy in enumerate(record.per_class_accuracy):
            yield record.round, number, None, accuracy
        for group, accuracy in record.per_group_accuracy.items():
            yield record.round, None, group, accuracy

    frame = _long(runs, values, ("round", "class", "group", "accuracy"))
    return frame.astype({"class": "Int64"})


def thinned(
    runs: Sequence[Recorded], most: int, rows_of: Callable[[RoundRecord], int]
) -> tuple[list[Recorded], int]:
    """The same runs with every n-th round and the last of each, and n: 1, or more where a frame of all rounds would
    have more than so many rows; last rounds stay even then.

    Args:
        rows_of: how many rows of the frame a round is.
    """
    longest = max((len(records) for _, records in runs), default=1)
    every = 1
    while True:
        kept: list[Recorded] = [
            (plan, [r for r in records if r.round % every == 0 or r is records[-1]]) for plan, records in runs
        ]
        rows = sum(rows_of(record) for _, records in kept for record in records)
        if rows <= most or every >= longest:
            return kept, every
        every = max(every + 1, min(longest, every * rows // most))


def _long(runs: Iterable[Recorded], values: Any, columns: Sequence[str]) -> pd.DataFrame:
    """A row for each of the values of each record, with the labels of its run."""
    heads, codes, rows = [], [], []
    for code, (plan, records) in enumerate(runs):
        heads.append(labels(plan))
        for record in records:
            for row in values(record):
                codes.append(code)
                rows.append(row)
    table = pd.DataFrame(heads).iloc[codes].reset_index(drop=True)
    found = pd.DataFrame(rows, columns=list(columns))
    return pd.concat([table, found], axis=1)
