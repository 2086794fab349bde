"""What the folder of one run says of how it went: status, rounds, time, machines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedskew.errors import RunError
from fedskew.files import read_lines
from fedskew.partition.heterogeneity import Counts
from fedskew.runs.clients import ClientsSummary
from fedskew.runs.folder import RunFolder
from fedskew.runs.session import Session, shared_rounds_of
from fedskew.runs.status import Status, status_of
from fedskew.study.grid import PlannedRun


@dataclass(frozen=True)
class RunNote:
    """One planned run and what its folder says of how it went.

    Attributes:
        seconds: of all rounds together, without those that another run did; NaN where there are no times.
        sessions: in which it was done, the first one first.
        rounds: how many were done.
    """

    plan: PlannedRun
    folder: RunFolder
    status: Status
    why: str
    rounds: int
    seconds: float
    sessions: tuple[Session, ...]

    @property
    def state(self) -> str:
        """Its status, or ``"failed"``."""
        return "failed" if self.failed else self.status

    @property
    def failed(self) -> bool:
        """Whether its last session ended in an error."""
        return self.status != "done" and self.folder.failure.exists()

    @property
    def session(self) -> Session:
        """Its last session; an empty one if nothing is recorded."""
        return self.sessions[-1] if self.sessions else Session()


def read_clients(note: RunNote) -> ClientsSummary | None:
    """Who holds what in a run; None if its folder does not say it or is damaged."""
    try:
        return note.folder.read_clients()
    except RunError:
        return None


def read_counts(note: RunNote) -> tuple[ClientsSummary, Counts] | None:
    """Who holds what in a run, and its client x class table, int64 [K, C]; None if its folder does not say it (it has
    more than 1,000 clients, say) or is damaged."""
    found = read_clients(note)
    if found is None or found.label_counts is None:
        return None
    try:
        counts: Counts = np.array(found.label_counts, dtype=np.int64)
    except (ValueError, OverflowError):  # rows of different lengths, or a number too large
        return None
    fits = counts.ndim == 2 and counts.shape[1] == len(found.class_names) and counts.min(initial=0) >= 0
    return (found, counts) if fits else None


def read_note(run: RunFolder, plan: PlannedRun, data_dir: Path | None = None) -> RunNote:
    """What the folder of one planned run says; a damaged file counts as one that says nothing.

    Args:
        data_dir: as of ``status_of``.
    """
    status, why = status_of(run, plan.completed, data_dir)
    try:
        sessions = run.read_sessions()
    except RunError:
        sessions = []
    try:
        seconds = run.read_seconds()[shared_rounds_of(sessions) :]
    except RunError:
        seconds = []
    try:
        rounds = len(read_lines(run.rounds))
    except RunError:
        rounds = 0
    total = math.fsum(seconds) if seconds else math.nan
    return RunNote(plan, run, status, why, rounds, total, tuple(sessions))
