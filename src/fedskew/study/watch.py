"""What the runs of a study are doing, seen from its folder alone, while another process may be working in it.

Watching reads, never writes and takes no lock. A run is running if its folder's lock is held (``runs.locks``); where
the table of locks does not show the owner (another operating system, machine or container), a run counts as running
while records are being added to it.

Files may change between two reads: a last line may be torn, a result may appear after the records were read, a run
may be put aside. Each reading takes what it finds, and the next one is right again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from fedskew.components.completed import Completed
from fedskew.components.known import facts_of
from fedskew.errors import FedskewError
from fedskew.files import read_lines
from fedskew.reading import parse_json, read_bytes
from fedskew.runs.folder import RunFolder
from fedskew.runs.locks import Lock, held_locks, is_held
from fedskew.runs.own import check_own, read_own_result
from fedskew.runs.result import RunResult
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import PlannedRun
from fedskew.study.select import select
from fedskew.study.source import STUDY_FILE
from fedskew.study.time_left import Course, Left, pace, time_left
from fedskew.wording import cell_in_words

State = Literal["running", "failed", "to do again", "interrupted", "done", "to do"]

FRESH = 60.0
"""Seconds after its last record for which a run whose owner's lock cannot be seen counts as running."""

MOST_BYTES = 100_000_000
"""Of a file of one object."""

T = TypeVar("T")


@dataclass(frozen=True)
class RunView:
    """One run at one moment.

    Attributes:
        state: ``interrupted`` means begun, not complete, and no process works on it; ``to do again`` that what is in
            its folder is damaged, not what was written, or another run's.
        rounds: whole rounds on disk.
        curves: metric -> its value after each round, as in the records (fractions; NaN where there is none).
        pace: seconds per round of its last rounds; None before the first.
        why: why it stopped, failed or is to be done again; else empty.
    """

    plan: PlannedRun
    state: State
    rounds: int
    curves: dict[str, list[float]]
    pace: float | None
    why: str = ""


@dataclass(frozen=True)
class StudyView:
    """All runs of a study at one moment.

    Attributes:
        owned: whether a process is seen to be working on the study.
        left: of the whole; None while nothing runs or nothing is known.
        left_of: of each running run, by its identity.
    """

    folder: StudyFolder
    runs: list[RunView]
    owned: bool
    left: Left | None = None
    left_of: dict[str, Left] = field(default_factory=dict)


class Watcher:
    """Looks at a study again and again, and reads a file again only if it has changed.

    Args:
        name: the study's folder, or its name below ``studies/``.
        only: ``AXIS=LABEL`` choices of cells, as for ``fedskew study --only``.

    Raises:
        ConfigError: there is no such study, or an axis or label that it does not have.
    """

    def __init__(self, name: str, only: Sequence[str] = ()) -> None:
        self._name, self._only = name, tuple(only)
        self._read: dict[Path, tuple[tuple[int, int], Any]] = {}
        self._before: dict[str, int] = {}
        self._grew: dict[str, float] = {}
        self._owner_seen: set[str] = set()
        self._open()

    def _open(self) -> None:
        folder = StudyFolder.find(self._name)
        chosen = select(folder.planned, self._only)
        self._folder, self._plans = folder, list({plan.identity: plan for plan in chosen}.values())
        self._stamp = _stamp(folder.path / STUDY_FILE)

    def look(self) -> StudyView:
        """The study as it is now."""
        path = self._folder.path
        if _stamp(path / STUDY_FILE) not in (self._stamp, None):  # it has grown
            try:
                self._open()
            except (FedskewError, OSError):  # or is no longer of this version: keep what was known
                self._stamp = _stamp(path / STUDY_FILE)
        held = held_locks()
        runs = [self._run(plan, held) for plan in self._plans]
        owned = any(run.state == "running" for run in runs)
        left_of, left = left_of_study(runs)
        return StudyView(self._folder, runs, owned, left, left_of)

    def _run(self, plan: PlannedRun, held: frozenset[Lock] | None) -> RunView:
        folder = self._folder.run_folder(plan)
        # First: then its records are all there. And whose they are, where there is no result yet.
        result = self._content(folder.result, lambda _: _result(folder, plan.completed))
        foreign = self._content(folder.config, lambda path: _foreign(path, plan.completed))
        lines = self._content(folder.rounds, _metrics) or []
        totals = self._content(folder.timings, _totals) or []
        failure = self._content(folder.failure, _object) or {}
        state: State = "interrupted" if lines else "to do"
        why = ""
        if isinstance(result, RunResult):
            state, why = "done", _first_line(result.stopped) + (", diverged" if result.diverged else "")
        elif self._is_running(plan, folder, len(lines), held):
            state = "running"
        elif failure:
            state, why = "failed", _first_line(failure.get("reason"))
        elif wrong := result or (foreign if lines else ""):
            state, why, lines, totals = "to do again", wrong, [], []
        return RunView(plan, state, len(lines), _curves(lines), pace(totals), why)

    def _is_running(
        self, plan: PlannedRun, folder: RunFolder, rounds: int, held: frozenset[Lock] | None
    ) -> bool:
        """By its lock; without a table of locks, by the age of its records; where the table has not shown an owner of
        this run at the last reading, also by records that were added since then."""
        before = self._before.get(plan.identity, rounds)
        self._before[plan.identity] = rounds
        if held is not None and is_held(folder.path, held):
            self._owner_seen.add(plan.identity)
            return True
        now = time.time()
        if held is None:
            try:
                return now - folder.rounds.stat().st_mtime < FRESH
            except OSError:
                return False
        if plan.identity in self._owner_seen:  # at the last reading: what was added since then is its own
            self._owner_seen.discard(plan.identity)
            return False
        if rounds > before:
            self._grew[plan.identity] = now
        return now - self._grew.get(plan.identity, -math.inf) < FRESH

    def _content(self, path: Path, parse: Callable[[Path], T]) -> T | None:
        """A file's content, read again if its size or time has changed; what it was before if it is damaged."""
        stamp = _stamp(path)
        if stamp is None:
            self._read.pop(path, None)
            return None
        known: tuple[Any, T | None] = self._read.get(path, (None, None))
        if known[0] == stamp:
            return known[1]
        try:
            content: T | None = parse(path)
        except (FedskewError, OSError, ValueError, KeyError, TypeError, AttributeError):
            content = known[1]
        self._read[path] = (stamp, content)
        return content


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _metrics(path: Path) -> list[dict[str, float]]:
    """The metrics of each whole record; null is NaN."""
    return [
        {name: math.nan if value is None else float(value) for name, value in line["metrics"].items()}
        for line in read_lines(path)
    ]


def _totals(path: Path) -> list[float]:
    return [float(line["total"]) for line in read_lines(path)]


def _object(path: Path) -> dict[str, Any]:
    return dict(parse_json(read_bytes(path, MOST_BYTES)))


def _result(folder: RunFolder, run: Completed) -> RunResult | str:
    """The result of a complete run, or what is wrong with what is there."""
    try:
        return read_own_result(folder, run) or ""
    except FedskewError as error:
        return _first_line(error.message)


def _foreign(config: Path, run: Completed) -> str:
    """That the config in a folder is another run's; empty if it is not."""
    try:
        check_own(config, run)
    except FedskewError as error:
        return _first_line(error.message)
    return ""


def _first_line(value: object) -> str:
    return next(iter(str(value).splitlines()), "")


def _curves(lines: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    names = dict.fromkeys(name for line in lines for name in line)
    return {name: [line.get(name, math.nan) for line in lines] for name in names}


def left_of_study(runs: Sequence[RunView]) -> tuple[dict[str, Left], Left | None]:
    """How long each running run, by its identity, and all runs together will take; None while nothing runs."""
    running = sum(run.state == "running" for run in runs)
    if not running:
        return {}, None
    states: dict[State, Literal["running", "waiting", "done", "failed"]] = {
        "running": "running",
        "failed": "failed",
        "to do again": "waiting",
        "done": "done",
        "interrupted": "waiting",
        "to do": "waiting",
    }
    courses = {
        number: Course(
            states[run.state],
            run.rounds,
            run.plan.experiment.rounds,
            run.pace,
            not facts_of("stopping", run.plan.experiment.stopping).never_stops,
            cell_in_words(run.plan.cell),
        )
        for number, run in enumerate(runs)
    }
    each, whole = time_left(courses, running)
    return {runs[n].plan.identity: item for n, item in each.items() if runs[n].state == "running"}, whole
