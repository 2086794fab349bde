"""``tables/rounds.csv``: every metric of every round of the complete runs, long."""

from __future__ import annotations

from fedskew.frames.runs import rounds_frame, thinned
from fedskew.report.evidence import Evidence
from fedskew.report.tables.sheet import as_csv

MOST_VALUES = 200_000
"""Rows of the file, about 15 MB. Above, it has every n-th round and the last of each run."""


def rounds_csv(evidence: Evidence, most: int = MOST_VALUES) -> tuple[str, int]:
    """The file's text, and n where it has every n-th round only, else 1."""
    whole = [
        (plan, evidence.records[plan.identity])
        for plan in evidence.planned
        if plan.identity in evidence.records
    ]
    kept, every = thinned(whole, most)
    return as_csv(rounds_frame(kept)), every
