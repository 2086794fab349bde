"""What a report is made from: everything that a study's folder says, read once. Nothing is run or imported.

A study's axes take two roles. One goes from left to right (``alpha`` if there is one, else the first axis of
numbers, else the first axis); the others together name the *series* that are compared, the paper's settings.
Where these are too many for one picture, the same evidence comes in *parts*.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from fedskew.analysis import results_table
from fedskew.errors import RunError
from fedskew.files import read_lines
from fedskew.protocols import RoundRecord
from fedskew.runs.folder import RunFolder
from fedskew.runs.session import Session, shared_rounds_of
from fedskew.runs.status import Status
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import PlannedRun, Study
from fedskew.wording import cell_in_words

EVERYTHING = "all runs"
"""The name of the only series of a study that compares nothing."""


@dataclass(frozen=True)
class RunNote:
    """One planned run and what its folder says of how it went.

    Attributes:
        seconds: of all rounds together, those done by another run aside; NaN where there are no times.
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
    def failed(self) -> bool:
        """Whether its last session ended in an error."""
        return self.status != "done" and self.folder.failure.exists()

    @property
    def session(self) -> Session:
        """Its last session; an empty one if nothing says where it was done."""
        return self.sessions[-1] if self.sessions else Session()


MOST_SERIES = 7
"""In one picture: as many as there are colours."""


@dataclass(frozen=True)
class Evidence:
    """A study and its records.

    Attributes:
        results: one row per complete run, as ``analysis.results_table`` makes it.
        records: run -> its rounds, of complete runs.
        notes: every distinct planned run.
        part: where this is a part of a study's evidence, its number and what its runs have in common, in words.
        legend: the series of all parts, so that a series looks the same in each of them.
    """

    path: Path
    study: Study
    planned: list[PlannedRun]
    results: pd.DataFrame
    records: dict[str, list[RoundRecord]]
    notes: list[RunNote]
    part: tuple[int, str] | None = None
    legend: dict[str, dict[str, Any]] | None = None

    @cached_property
    def across(self) -> str | None:
        """The axis that goes from left to right; None if there are no axes."""
        names = list(self.study.axes)
        numeric = [name for name in names if self._numeric(name)]
        return next((n for n in ("alpha", *numeric, *names) if n in names), None)

    @cached_property
    def columns(self) -> list[Any]:
        """The labels of that axis, in the order of the study."""
        return [label for label, _ in self.study.axes[self.across].points()] if self.across else []

    @cached_property
    def series(self) -> dict[str, dict[str, Any]]:
        """The series that are planned, in the order of the study: name -> the labels that make it."""
        if self.legend is not None:
            return self.legend
        return self._in_order([name for name in self.study.axes if name != self.across])

    def _in_order(self, axes: list[str]) -> dict[str, dict[str, Any]]:
        """The planned combinations of labels of some axes, in the order of the axes."""
        there = {tuple(plan.cell[name] for name in axes) for plan in self.planned}
        points = ([label for label, _ in self.study.axes[name].points()] for name in axes)
        found = [dict(zip(axes, cell, strict=True)) for cell in itertools.product(*points) if cell in there]
        return {series_name(labels): labels for labels in found}

    @property
    def series_title(self) -> str:
        """What the series differ in: the axes beside the one from left to right."""
        return ", ".join(name for name in self.study.axes if name != self.across) or "series"

    @cached_property
    def parts(self) -> list[Evidence]:
        """This evidence in parts of few enough series for one picture: cut along as few labels of the series' axes as
        possible. One part, which is the whole, where the series are few or have one axis only."""
        axes = [name for name in self.study.axes if name != self.across]
        if len(self.series) <= MOST_SERIES or len(axes) < 2:
            return [self]
        cuts = [cut for size in range(1, len(axes)) for cut in itertools.combinations(axes, size)]
        return self._cut_along(min(cuts, key=self._cost))

    def _cost(self, cut: tuple[str, ...]) -> tuple[bool, int]:
        """Whether a cut leaves too many series in a picture, and how many parts it makes (or, then, series leaves)."""
        parts = {tuple(labels[axis] for axis in cut) for labels in self.series.values()}
        rest = {tuple(v for k, v in labels.items() if k not in cut) for labels in self.series.values()}
        many = len(rest) > MOST_SERIES
        return many, len(rest) if many else len(parts)

    def _cut_along(self, cut: tuple[str, ...]) -> list[Evidence]:
        def rest(labels: dict[str, Any]) -> dict[str, Any]:
            return {name: label for name, label in labels.items() if name not in cut}

        study = self.study.model_copy(update={"axes": rest(self.study.axes), "exclude": (), "claims": ()})
        legend = self._in_order([name for name in rest(self.study.axes) if name != self.across])
        found: list[Evidence] = []
        for fixed in (tuple(labels.values()) for labels in self._in_order(list(cut)).values()):
            planned = [
                replace(plan, cell=rest(plan.cell))
                for plan in self.planned
                if tuple(plan.cell[axis] for axis in cut) == fixed
            ]
            results = self.results
            if self.done:
                for axis, label in zip(cut, fixed, strict=True):
                    results = results[results[axis] == label].drop(columns=axis)
            own = {plan.identity for plan in planned}
            words = cell_in_words(dict(zip(cut, fixed, strict=True)))
            found.append(
                Evidence(
                    self.path,
                    study,
                    planned,
                    results,
                    {run: records for run, records in self.records.items() if run in own},
                    [note for note in self.notes if note.plan.identity in own],
                    (len(found), words),
                    legend,
                )
            )
        return found

    def named(self, *words: str) -> str:
        """A title: the words that are not empty, and what the runs of this part have in common."""
        return ", ".join(filter(None, [*words, self.part[1] if self.part else ""]))

    def caption(self, text: str) -> str:
        """The caption of a figure in a file."""
        return text + (f" ({self.part[1]})." if self.part else ".")

    def slug(self, name: str) -> str:
        """The name of a chart or a file, which says of which part it is."""
        if self.part is None:
            return name
        words = re.sub(r"[^A-Za-z0-9]+", "-", self.part[1])[:40].strip("-")
        return f"{name}-{self.part[0] + 1}-{words}"

    @property
    def chosen_by(self) -> dict[str, str]:
        """By what a chart of this part is chosen in the page (``charts.Chart``)."""
        return {"part": str(self.part[0])} if self.part else {}

    def is_numeric(self) -> bool:
        """Whether the axis from left to right has a scale."""
        return self.across is not None and self._numeric(self.across)

    def _numeric(self, axis: str) -> bool:
        labels = [label for label, _ in self.study.axes[axis].points()]
        return len(labels) > 1 and all(
            isinstance(label, int | float) and not isinstance(label, bool) and math.isfinite(label)
            for label in labels
        )

    def cell(self, series: str, column: Any = None) -> pd.DataFrame:
        """The complete runs of one series, at one label of the axis from left to right if there is one."""
        if self.results.empty:
            return self.results
        rows = self.results
        for axis, label in self.series[series].items():
            rows = rows[rows[axis] == label]
        return rows if self.across is None or column is None else rows[rows[self.across] == column]

    @property
    def done(self) -> int:
        """How many planned runs are complete."""
        return len(self.results)

    def measured(self, metrics: tuple[str, ...]) -> list[str]:
        """Those of the metrics that some complete run has."""
        return [m for m in metrics if m in self.results and self.results[m].notna().any()]


def series_name(labels: dict[str, Any]) -> str:
    """A series in words: its labels, in the order of the axes."""
    return ", ".join(map(str, labels.values())) or EVERYTHING


def gather(folder: StudyFolder, progress: Callable[[str], None] = lambda text: None) -> Evidence:
    """Reads a study's folder.

    Raises:
        RunError: a result or a record is damaged.
    """
    distinct: dict[str, PlannedRun] = {}
    for plan in folder.planned:
        distinct.setdefault(plan.identity, plan)
    results = results_table(folder.planned, folder.path)
    progress(f"reading {len(distinct)} runs")
    records = {
        run: RunFolder.below(folder.path, run).read_records()
        for run in (results["run"].unique() if len(results) else ())
    }
    notes = [_note(folder, plan) for plan in distinct.values()]
    return Evidence(folder.path, folder.study, folder.planned, results, records, notes)


def _note(folder: StudyFolder, plan: PlannedRun) -> RunNote:
    run = folder.run_folder(plan)
    status, why = folder.status(plan)
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
