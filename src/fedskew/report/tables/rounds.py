"""``tables/rounds.csv``, ``traces.csv`` and ``clients.csv``: what is recorded of the rounds of the complete runs, long,
and of the clients in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedskew.frames.clients import clients_frame
from fedskew.frames.runs import rounds_frame, thinned, trace_entries, traces_frame
from fedskew.report.evidence import Evidence
from fedskew.report.tables.sheet import as_csv
from fedskew.study.notes import read_clients

MOST_VALUES = 200_000
"""Rows of each file, about 15 MB. Above, it has every n-th round and the last of each run; and of clients there is
none."""


@dataclass(frozen=True)
class LongFile:
    """One of the files.

    Attributes:
        every: n, where it has every n-th round only; else 1.
    """

    name: str
    text: str
    every: int


def long_files(evidence: Evidence, most: int = MOST_VALUES) -> Iterator[LongFile]:
    """The files, with the rows of the frames of ``fedskew.load``.

    Args:
        most: rows of each; the last rounds of all runs are there even if they have more.
    """
    whole = [
        (plan, evidence.records[plan.identity])
        for plan in evidence.planned
        if plan.identity in evidence.records
    ]
    kept, every = thinned(whole, most, lambda record: len(record.metrics))
    yield LongFile("rounds.csv", as_csv(rounds_frame(kept)), every)
    kept, every = thinned(whole, most, lambda record: sum(1 for _ in trace_entries(record)))
    yield LongFile("traces.csv", as_csv(traces_frame(kept)), every)
    who = {note.plan.identity: read_clients(note) for note in evidence.notes if note.status == "done"}
    held = [
        (plan, found, records) for plan, records in whole if (found := who.get(plan.identity)) is not None
    ]
    if sum(found.clients for _, found, _ in held) <= most:
        yield LongFile("clients.csv", as_csv(clients_frame(held)), 1)
