"""What a report is made from: everything that a study's folder says, read once. Nothing is run or imported.

A study's axes take two roles. One goes from left to right (``study.across``); the others together name the *series*
that are compared, e.g. defences.
Where these are too many for one picture, ``parts`` cuts the evidence.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from fedskew.analysis import results_table
from fedskew.analysis.contrasts import WIDE, is_concentration
from fedskew.analysis.estimates import within
from fedskew.errors import RunError
from fedskew.evaluation.metric_table import meaning
from fedskew.protocols import RoundRecord
from fedskew.runs.folder import RunFolder
from fedskew.runs.inputs import each_read_once
from fedskew.study.across import axis_across, is_numeric
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import PlannedRun, Study
from fedskew.study.notes import RunNote, read_note

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
        panels: the labels of the axis from left to right that have panels of their own; None for all.
        data_dir: the data root, for pictures that need the data again; None for ``$FEDSKEW_DATA`` or the user's cache.
        series_rule, panel_rule: which series and panels pictures leave out, in a sentence; "" for none.
    """

    path: Path
    study: Study
    planned: list[PlannedRun]
    results: pd.DataFrame
    records: dict[str, list[RoundRecord]]
    notes: list[RunNote]
    part: tuple[int, str] | None = None
    legend: dict[str, dict[str, Any]] | None = None
    panels: tuple[Any, ...] | None = None
    series_rule: str = ""
    panel_rule: str = ""
    data_dir: Path | None = None

    @cached_property
    def across(self) -> str | None:
        """The axis that goes from left to right; None if there are no axes."""
        return axis_across(self.study)

    @cached_property
    def columns(self) -> list[Any]:
        """The labels of that axis, in the order of the study; 1 and 1.0 are one."""
        return self._labels(self.across) if self.across else []

    @cached_property
    def size(self) -> tuple[int | None, int | None]:
        """How many classes the data has, where all runs' folders agree on it, and how many training images; None where
        nothing says it."""
        found = set()
        for note in self.notes:
            try:
                clients = note.folder.read_clients()
            except RunError:
                continue
            if clients is not None:
                counts = None if clients.shared else clients.label_counts
                images = None if counts is None else sum(map(sum, counts)) + clients.held_out
                found.add((len(clients.class_names), images))
        classes = {many for many, _ in found}
        images = max((many for _, many in found if many is not None), default=None)
        return (classes.pop() if len(classes) == 1 else None), images

    @cached_property
    def own_words(self) -> dict[str, Mapping[str, Any]]:
        """What plug-ins said of themselves when the runs were done, by their names; the last one counts."""
        sessions = [session for note in self.notes for session in note.sessions]
        return {name: words for session in sessions for name, words in session.own_words.items()}

    @cached_property
    def series(self) -> dict[str, dict[str, Any]]:
        """The series that are planned, in the order of the study: name -> the labels that make it."""
        if self.legend is not None:
            return self.legend
        return self.combinations([name for name in self.study.axes if name != self.across])

    def combinations(self, axes: list[str]) -> dict[str, dict[str, Any]]:
        """The planned combinations of labels of some axes, in the order of the axes."""
        there = {tuple(plan.cell[name] for name in axes) for plan in self.planned}
        points = (self._labels(name) for name in axes)
        found = [dict(zip(axes, cell, strict=True)) for cell in itertools.product(*points) if cell in there]
        return {series_name(labels): labels for labels in found}

    @property
    def series_title(self) -> str:
        """What the series differ in: all axes but the one from left to right."""
        return ", ".join(name for name in self.study.axes if name != self.across) or "series"

    def named(self, *words: str) -> str:
        """A title: the words that are not empty, and what the runs of this part have in common."""
        return ", ".join(filter(None, [*words, self.part[1] if self.part else ""]))

    def note(self, sentence: str) -> str:
        """A sentence below a figure in a file, which says of which part it is."""
        return f"{sentence[:-1]}; {self.part[1]}." if self.part else sentence

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

    @property
    def is_concentration(self) -> bool:
        """Whether the axis from left to right is the concentration of the split: the smaller, the more uneven."""
        return self.is_numeric() and is_concentration(self.study, str(self.across))

    @property
    def is_logarithmic(self) -> bool:
        """Whether the axis from left to right has a logarithmic scale: positive numbers over a wide span."""
        values = [float(label) for label in self.columns] if self.is_numeric() else [0.0]
        return min(values) > 0 and (max(values) / min(values) >= WIDE or self.is_concentration)

    @property
    def places(self) -> list[float]:
        """Where the labels of a numeric axis from left to right lie on its scale."""
        return [math.log(label) if self.is_logarithmic else float(label) for label in self.columns]

    def _labels(self, axis: str) -> list[Any]:
        return list(dict.fromkeys(label for label, _ in self.study.axes[axis].points()))

    def cell(self, series: str, column: Any = None) -> pd.DataFrame:
        """The complete runs of one series, at one label of the axis from left to right if there is one."""
        labels = self.series[series]
        if self.across is not None and column is None:
            return within(self.results, labels) if self.done else self.results
        whole = {**labels, **({self.across: column} if self.across is not None else {})}
        found = self._cells.get(tuple(whole[axis] for axis in self.study.axes))
        return self.results.iloc[:0] if found is None else found

    @cached_property
    def _cells(self) -> dict[tuple[Any, ...], pd.DataFrame]:
        """Labels of all axes, in their order -> the complete runs."""
        if not self.done:
            return {}
        axes = list(self.study.axes)
        return dict(iter(self.results.groupby(axes, sort=False))) if axes else {(): self.results}

    @property
    def done(self) -> int:
        """How many planned runs are complete."""
        return len(self.results)

    def measured(self, metrics: Sequence[str]) -> list[str]:
        """Those of the metrics that some complete run has."""
        return [m for m in metrics if m in self.results and self.results[m].notna().any()]

    def telling(self, metrics: Sequence[str]) -> list[str]:
        """Those of the metrics that were measured and are not another one, as a worst tenth of few clients is."""
        others = {m: meaning(m).with_few for m in metrics}
        return [
            m
            for m in self.measured(metrics)
            if others[m] not in self.results or not self.results[m].equals(self.results[others[m]])
        ]

    @property
    def facets(self) -> list[tuple[str, Any]]:
        """(title, label) of panels side by side: one for each label of the axis from left to right that has one."""
        if self.across is None:
            return [("", None)]
        shown = self.columns if self.panels is None else self.panels
        return [(f"{self.across} {label}", label) for label in shown]


def series_name(labels: dict[str, Any]) -> str:
    """A series in words: its labels, in the order of the axes."""
    return ", ".join(map(str, labels.values())) or EVERYTHING


def gather(
    folder: StudyFolder,
    progress: Callable[[str], None] = lambda text: None,
    data_dir: Path | None = None,
) -> Evidence:
    """Reads a study's folder.

    Args:
        data_dir: the data root; None for ``$FEDSKEW_DATA`` or the user's cache folder.

    Raises:
        RunError: a result or a record is damaged.
    """
    distinct: dict[str, PlannedRun] = {}
    for plan in folder.planned:
        distinct.setdefault(plan.identity, plan)
    results = results_table(folder.planned, folder.path)
    if len(results):  # two labels of one value, such as 1 and 1.0, name the same runs
        results = results.drop_duplicates([*folder.study.axes, "run"], ignore_index=True)
    progress(f"reading {len(distinct)} runs")
    records = {
        run: RunFolder.below(folder.path, run).read_records()
        for run in (results["run"].unique() if len(results) else ())
    }
    with each_read_once():
        notes = [read_note(folder.run_folder(plan), plan, data_dir) for plan in distinct.values()]
    return Evidence(folder.path, folder.study, folder.planned, results, records, notes, data_dir=data_dir)
