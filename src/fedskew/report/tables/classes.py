"""Accuracies of each class, of each group of images or of each client that has a name, cell by cell, mean over seeds
after the last round: the numbers and their table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from fedskew.analysis import Estimate, estimate
from fedskew.evaluation.metric_table import meaning
from fedskew.protocols import RoundRecord
from fedskew.report.evidence import Evidence
from fedskew.report.numbers import mean_std
from fedskew.report.tables.sheet import Sheet
from fedskew.study.notes import RunNote, read_clients

MOST_CLASSES = 30
"""In a picture and in a table of the page."""


@dataclass(frozen=True)
class ClassTable:
    """Accuracies of one label of the axis from left to right, in percent: [series][class], or group, or client.

    A class without test images has an accuracy of NaN everywhere.

    Attributes:
        what, kind, unknown, kinds: what the numbers are, what a column is, what is said of one without a number, and
            what several columns are.
        measured: on what.
    """

    title: str
    column: Any
    series: list[str]
    classes: list[str]
    cells: list[list[Estimate]]
    what: str = "class accuracy"
    kind: str = "class"
    unknown: str = "no test images of this class"
    kinds: str = "classes"
    measured: str = "test images"


@dataclass(frozen=True)
class Shown:
    """Tables with the classes that are shown; ``places`` are their numbers, ``rule`` says which they are, or is ""."""

    tables: list[ClassTable]
    places: list[int]
    rule: str = ""


def class_tables(
    evidence: Evidence, names: tuple[str, ...] = (), everywhere: bool = False
) -> list[ClassTable]:
    """One table per panel that has complete runs; classes are numbered where their names are not known.

    Args:
        everywhere: a table for each label of the axis from left to right, whether it has a panel or not.
    """

    def of(run: str, record: RoundRecord) -> dict[str, float]:
        return {str(number): accuracy for number, accuracy in enumerate(record.per_class_accuracy)}

    tables = [ClassTable(*parts) for parts in _tables(evidence, of, everywhere)]
    return [
        replace(table, classes=list(names)) if len(names) == len(table.classes) else table for table in tables
    ]


def group_tables(evidence: Evidence, everywhere: bool = False) -> list[ClassTable]:
    """The same of the groups of images; none where the data has no groups."""
    words = ("group accuracy", "group", "no test images of this group", "groups")
    found = _tables(evidence, lambda run, record: record.per_group_accuracy, everywhere)
    return [ClassTable(*parts, *words) for parts in found]


def client_tables(evidence: Evidence) -> list[ClassTable]:
    """The same of honest clients on their own held-out data, where they have names and are the same for all seeds."""
    words = (
        "accuracy on the client's own data",
        "client",
        "nothing held out",
        "clients",
        "own held-out samples",
    )
    names = {note.plan.identity: _names(note) for note in evidence.notes if note.status == "done"}

    def of(run: str, record: RoundRecord) -> dict[str, float]:
        known = names.get(run, ())
        return {known[k]: accuracy for k, accuracy in record.per_client_accuracy.items() if k < len(known)}

    return [ClassTable(*parts, *words) for parts in _tables(evidence, of, everywhere=True)]


def _names(note: RunNote) -> tuple[str, ...]:
    found = read_clients(note)
    return () if found is None else found.names


def _tables(
    evidence: Evidence, of: Callable[[str, RoundRecord], Mapping[str, float]], everywhere: bool
) -> Iterator[tuple[str, Any, list[str], list[str], list[list[Estimate]]]]:
    """(title, label, series, columns, cells) of each panel whose complete runs have the same columns."""
    row = meaning("accuracy")
    for title, label in (replace(evidence, panels=None) if everywhere else evidence).facets:
        rows: dict[str, dict[str, Estimate]] = {}
        for series in evidence.series:
            runs = list(evidence.cell(series, label)["run"]) if evidence.done else []
            runs = [run for run in runs if evidence.records[run]]
            last = [of(run, evidence.records[run][-1]) for run in runs]
            if len({tuple(one) for one in last}) == 1 and last[0]:
                rows[series] = {
                    c: estimate([row.scale * one[c] for one in last], runs, bounds=row.bounds)
                    for c in last[0]
                }
        columns = {tuple(cells) for cells in rows.values()}
        if len(columns) == 1:
            yield title, label, list(rows), list(*columns), [list(cells.values()) for cells in rows.values()]


def shown_classes(tables: Sequence[ClassTable]) -> Shown:
    """The tables with all classes if these are few; else with those of the lowest and the highest mean accuracy over
    all tables, from low to high."""
    widths = {len(table.classes) for table in tables}
    if max(widths, default=0) <= MOST_CLASSES or len(widths) > 1:
        fit = [table for table in tables if len(table.classes) <= MOST_CLASSES]
        left = len(tables) - len(fit)
        rule = f"{left} tables of more than {MOST_CLASSES} columns are in the files only." if left else ""
        return Shown(fit, list(range(max(widths, default=0))) if len(widths) == 1 else [], rule)
    (many,) = widths
    sums = [0.0] * many
    counts = [0] * many
    for line in (line for table in tables for line in table.cells):
        for at, cell in enumerate(line):
            if not math.isnan(cell.mean):
                sums[at] += cell.mean
                counts[at] += 1
    tested = [at for at in range(many) if counts[at]]
    ranked = sorted(tested, key=lambda at: sums[at] / counts[at])
    half = MOST_CLASSES // 2
    places = [*ranked[:half], *ranked[max(half, len(ranked) - half) :]]
    rule = (
        f"Of {many} {tables[0].kinds} the {half} with the lowest and the {half} with the highest mean accuracy "
        "over all runs are shown, from low to high"
    )
    if len(tested) < many:
        rule += f"; {many - len(tested)} have no test images"
    rule += f". All are in tables/{tables[0].kind}-accuracy.csv."
    fewer = [
        replace(
            table,
            classes=[table.classes[at] for at in places],
            cells=[[line[at] for at in places] for line in table.cells],
        )
        for table in tables
    ]
    return Shown(fewer, places, rule)


def classes_sheet(evidence: Evidence, tables: Sequence[ClassTable]) -> Sheet | None:
    """The accuracies; None where they are not known or the classes differ from cell to cell."""
    if not tables or len({tuple(table.classes) for table in tables}) > 1:
        return None
    across = [evidence.across] if evidence.across else []
    rows, plain, runs = [], [], []
    for table in tables:
        for series, cells in zip(table.series, table.cells, strict=True):
            where = [str(table.column)] if across else []
            rows.append([*where, series, *(mean_std(cell.mean, cell.std) for cell in cells)])
            values = {f"{name}": cell.mean for name, cell in zip(table.classes, cells, strict=True)}
            spread = {f"{name} std": cell.std for name, cell in zip(table.classes, cells, strict=True)}
            plain.append(
                {**dict(zip(across, where, strict=True)), evidence.series_title: series, **values, **spread}
            )
            runs.append(max((cell.runs for cell in cells), key=len))
    header = [*across, evidence.series_title, *tables[0].classes]
    kind = tables[0].kind
    notes = [
        f"percent of the {kind}'s {tables[0].measured} after the last round, mean ± standard deviation over seeds"
    ]
    untested = [
        name
        for at, name in enumerate(tables[0].classes)
        if all(math.isnan(line[at].mean) for table in tables for line in table.cells)
    ]
    if untested:
        some = ", ".join(untested[:MOST_CLASSES]) + (", ..." if len(untested) > MOST_CLASSES else "")
        notes.append(f"no {tables[0].measured}: {kind} {some}")
    shown = shown_classes(tables)
    fixed = len(across) + 1
    columns = (*range(fixed), *(fixed + at for at in shown.places)) if shown.rule else ()
    return Sheet(
        f"{kind}-accuracy", f"{kind.capitalize()} accuracies", header, rows, pd.DataFrame(plain), tuple(notes), fixed,
        tuple(runs), columns, shown.rule,
    )  # fmt: skip
