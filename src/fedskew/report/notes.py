"""What the folder of one run says of how it went: status, rounds, time, machines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedskew.errors import FedskewError, RunError
from fedskew.files import read_lines
from fedskew.runs.sessions import read_sittings, shared_rounds_of
from fedskew.runs.status import Status
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import PlannedRun


@dataclass(frozen=True)
class RunNote:
    """One planned run and what its folder says of how it went.

    Attributes:
        seconds: of all rounds together, without those that another run did; NaN where there are no times.
        sessions: the environment of each session it was done in, the first one first.
        rounds: how many were done.
    """

    plan: PlannedRun
    folder: Path
    status: Status
    why: str
    rounds: int
    seconds: float
    sessions: tuple[dict[str, Any], ...]

    @property
    def failed(self) -> bool:
        """Whether its last session ended in an error."""
        return self.status != "done" and (self.folder / "failure.json").exists()

    @property
    def environment(self) -> dict[str, Any]:
        """That of its last session; empty if nothing is recorded."""
        return self.sessions[-1] if self.sessions else {}


def read_note(folder: StudyFolder, plan: PlannedRun) -> RunNote:
    """What the folder of one planned run says; a damaged file counts as one that says nothing."""
    path = folder.run_folder(plan)
    status, why = folder.status(plan)
    try:
        sessions = read_sittings(path)
    except RunError:
        sessions = []
    try:
        times = [float(line["total"]) for line in read_lines(path / "timings.jsonl")]
        times = times[shared_rounds_of(sessions) :]
    except (FedskewError, KeyError, TypeError, ValueError):
        times = []
    try:
        rounds = len(read_lines(path / "rounds.jsonl"))
    except FedskewError:
        rounds = 0
    return RunNote(plan, path, status, why, rounds, math.fsum(times) if times else math.nan, tuple(sessions))
