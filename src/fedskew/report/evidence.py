"""What a report is made from: everything that a study's folder says, read once. Nothing is run or imported.

A study's axes take two roles. One goes from left to right (``study.across``); the others together name the *series*
that are compared, e.g. defences.
Where these are too many for one picture, ``parts`` cuts the evidence.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from fedskew.analysis import metric_columns, results_table
from fedskew.analysis.estimates import within
from fedskew.errors import ConfigError, unknown
from fedskew.evaluation.metric_table import MAIN_METRICS
from fedskew.protocols import RoundRecord
from fedskew.report.notes import RunNote, read_note
from fedskew.runs.folder import RunFolder
from fedskew.study.across import axis_across, is_numeric
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import PlannedRun, Study

EVERYTHING = "all runs"
"""The name of the only series of a study that compares nothing."""


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
        return axis_across(self.study)

    @cached_property
    def columns(self) -> list[Any]:
        """The labels of that axis, in the order of the study."""
        return [label for label, _ in self.study.axes[self.across].points()] if self.across else []

    @cached_property
    def series(self) -> dict[str, dict[str, Any]]:
        """The series that are planned, in the order of the study: name -> the labels that make it."""
        if self.legend is not None:
            return self.legend
        return self.combinations([name for name in self.study.axes if name != self.across])

    def combinations(self, axes: list[str]) -> dict[str, dict[str, Any]]:
        """The planned combinations of labels of some axes, in the order of the axes."""
        there = {tuple(plan.cell[name] for name in axes) for plan in self.planned}
        points = ([label for label, _ in self.study.axes[name].points()] for name in axes)
        found = [dict(zip(axes, cell, strict=True)) for cell in itertools.product(*points) if cell in there]
        return {series_name(labels): labels for labels in found}

    @property
    def series_title(self) -> str:
        """What the series differ in: all axes but the one from left to right."""
        return ", ".join(name for name in self.study.axes if name != self.across) or "series"

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
        """What the page chooses a chart of this part by (``charts.Chart``)."""
        return {"part": str(self.part[0])} if self.part else {}

    def is_numeric(self) -> bool:
        """Whether the axis from left to right has a scale."""
        return self.across is not None and is_numeric(self.study.axes[self.across])

    def cell(self, series: str, column: Any = None) -> pd.DataFrame:
        """The complete runs of one series, at one label of the axis from left to right if there is one."""
        if self.results.empty:
            return self.results
        rows = within(self.results, self.series[series])
        return rows if self.across is None or column is None else rows[rows[self.across] == column]

    @property
    def done(self) -> int:
        """How many planned runs are complete."""
        return len(self.results)

    def measured(self, metrics: Sequence[str]) -> list[str]:
        """Those of the metrics that some complete run has."""
        return [m for m in metrics if m in self.results and self.results[m].notna().any()]

    @property
    def facets(self) -> list[tuple[str, Any]]:
        """(title, label) of panels side by side: one for each label of the axis from left to right."""
        if self.across is None:
            return [("", None)]
        return [(f"{self.across} {label}", label) for label in self.columns]

    def main_metrics(self, wanted: Sequence[str] = ()) -> list[str]:
        """The metrics to show first: the wanted ones, else the usual, as far as they were measured.

        Raises:
            ConfigError: one that no run has.
        """
        valid = metric_columns(self.results, self.study)
        for metric in wanted:
            if self.done and metric not in valid:
                raise ConfigError(*unknown("metric", metric, valid))
        return self.measured(wanted or MAIN_METRICS)


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
    notes = [read_note(folder, plan) for plan in distinct.values()]
    return Evidence(folder.path, folder.study, folder.planned, results, records, notes)
