"""What a report is made from: everything that a study's folder says, read once. Nothing is run or imported.

A study's axes take two roles. One goes from left to right (``alpha`` if there is one, else the first axis of
numbers, else the first axis); the others together name the *series* that are compared, the paper's settings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from fedskew.analysis import results_table
from fedskew.errors import FedskewError, RunError
from fedskew.files import read_lines
from fedskew.protocols import RoundRecord
from fedskew.records import read_records
from fedskew.sittings import read_sittings, shared_rounds_of
from fedskew.study import PlannedRun, Status, Study
from fedskew.study_folder import StudyFolder

EVERYTHING = "all runs"
"""The name of the only series of a study that compares nothing."""


@dataclass(frozen=True)
class RunNote:
    """One planned run and what its folder says of how it went.

    Attributes:
        seconds: of all rounds together, those done by another run aside; NaN where there are no times.
        sittings: environments of the sittings it was done in, the first one first.
        rounds: how many were done.
    """

    plan: PlannedRun
    folder: Path
    status: Status
    why: str
    rounds: int
    seconds: float
    sittings: tuple[dict[str, Any], ...]

    @property
    def failed(self) -> bool:
        """Whether its last sitting ended in an error."""
        return self.status != "done" and (self.folder / "failure.json").exists()

    @property
    def environment(self) -> dict[str, Any]:
        """Where it was last worked on; empty if nothing says so."""
        return self.sittings[-1] if self.sittings else {}


@dataclass(frozen=True)
class Evidence:
    """A study and its records.

    Attributes:
        results: one row per complete run, as ``analysis.results_table`` makes it.
        records: run -> its rounds, of complete runs.
        notes: every distinct planned run.
    """

    path: Path
    study: Study
    planned: list[PlannedRun]
    results: pd.DataFrame
    records: dict[str, list[RoundRecord]]
    notes: list[RunNote]

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
        others = [name for name in self.study.axes if name != self.across]
        there = {tuple(plan.cell[name] for name in others) for plan in self.planned}
        points = ([label for label, _ in self.study.axes[name].points()] for name in others)
        cells = [dict(zip(others, cell, strict=True)) for cell in itertools.product(*points) if cell in there]
        return {series_name(labels): labels for labels in cells}

    @property
    def series_title(self) -> str:
        """What the series differ in: the axes beside the one from left to right."""
        return ", ".join(name for name in self.study.axes if name != self.across) or "series"

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
    distinct = {plan.identity: plan for plan in folder.planned}
    results = results_table(folder.planned, folder.path)
    progress(f"reading {len(distinct)} runs")
    records = {
        run: read_records(folder.path / "runs" / run)
        for run in (results["run"].unique() if len(results) else ())
    }
    notes = [_note(folder, plan) for plan in distinct.values()]
    return Evidence(folder.path, folder.study, folder.planned, results, records, notes)


def _note(folder: StudyFolder, plan: PlannedRun) -> RunNote:
    path = folder.run_folder(plan)
    status, why = folder.status(plan)
    try:
        sittings = read_sittings(path)
    except RunError:
        sittings = []
    try:
        times = [float(line["total"]) for line in read_lines(path / "timings.jsonl")][
            shared_rounds_of(sittings) :
        ]
    except (FedskewError, KeyError, TypeError, ValueError):
        times = []
    try:
        rounds = len(read_lines(path / "rounds.jsonl"))
    except FedskewError:
        rounds = 0
    return RunNote(plan, path, status, why, rounds, math.fsum(times) if times else math.nan, tuple(sittings))
