"""A real study on an .npz file with two groups, one of them rare and harder: its claims, tables, figures and page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedskew.config import Execution
from fedskew.evaluation.metric_table import TABLE, meaning
from fedskew.report.evidence import gather
from fedskew.report.page.content import Content, build_content
from fedskew.report.page.render import render_page
from fedskew.report.tables.classes import classes_sheet, group_tables
from fedskew.runs.execute import execute
from report_helpers import complete, make_study

GROUPS = [name for name, row in TABLE.items() if row.measured == meaning("group_accuracy_gap").measured]
EVIL = "<script>alert(1)</script>"
"""The name of the rare group."""
CLAIM = {
    "text": "the median widens the gap by at most 90 points",
    "metric": "group_accuracy_gap",
    "direction": "does not rise",
    "margin": 90.0,
    "compare": {"defence": ["none", "median"]},
}


def write_data(path: Path, groups: bool) -> None:
    """Three classes that light up three corners of an image; every fourth image, of the rare group, hardly does."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"group_names": np.array(["usual", EVIL])} if groups else {}
    for part, size in (("train", 240), ("test", 120)):
        labels, rare = np.arange(size) % 3, np.arange(size) // 3 % 4 == 0
        images = rng.integers(0, 60, (size, 4, 4))
        images[np.arange(size), 3 * (labels // 2), 3 * (labels % 2)] += np.where(rare, 15, 150)
        arrays |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels}
        arrays |= {f"groups_{part}": rare.astype(np.int64)} if groups else {}
    np.savez(path, **arrays)


def content_of(folder: Path, groups: bool) -> Content:
    """The report of twelve runs."""
    write_data(folder / "own.npz", groups)
    kept = make_study(
        folder / "study",
        seeds=[0, 1, 2],
        base={
            "rounds": 4,
            "data": {"name": "npz", "path": str(folder / "own.npz")},
            "model": {"name": "mlp", "hidden": []},
            "clients": {"count": 4},
            "split": {"name": "dirichlet", "alpha": 1.0},
            "stopping": "rounds",
            "training": {"epochs": 2, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.01}},
        },
        axes={
            "alpha": {"field": "split.alpha", "values": [10.0, 1.0]},
            "defence": {"variants": {"none": {}, "median": {"defence.aggregator": "median"}}},
        },
        claims=[CLAIM] if groups else [],
    )
    for plan in kept.planned:
        execute(kept.run_folder(plan), plan.completed, Execution())
    return build_content(gather(kept))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Content:
    return content_of(tmp_path_factory.mktemp("with"), groups=True)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Content:
    return content_of(tmp_path_factory.mktemp("without"), groups=False)


def test_the_rare_group_is_worse(shown: Content) -> None:
    results = shown.evidence.results
    assert (results["group_accuracy_gap"] > 0.1).all()
    assert (results["worst_group_accuracy"] + results["group_accuracy_gap"] <= 1).all()
    (record,) = [shown.evidence.records[run][-1] for run in results["run"][:1]]
    assert record.per_group_accuracy[EVIL] == record.metrics["worst_group_accuracy"]


def test_tables_and_claims_have_the_metrics_of_groups(shown: Content) -> None:
    assert [name for name in shown.metrics if name in GROUPS] == GROUPS
    (judgement,) = shown.judgements
    assert (judgement.claim.metric, judgement.verdict) == ("group_accuracy_gap", "holds")
    sheets = {sheet.slug: sheet for sheet in shown.sheets}
    for name in GROUPS:
        assert any(meaning(name).label in row for row in sheets["estimates"].rows), name
    costs = sheets["cost-of-defence"]
    assert meaning("worst_group_accuracy").label in costs.header
    table = sheets["group-accuracy"]
    assert table.header == ["alpha", "defence", "usual", EVIL]
    assert table.title == "Group accuracies"
    assert len(table.rows) == 4
    mean = np.mean(
        [
            100 * shown.evidence.records[run][-1].per_group_accuracy[EVIL]
            for run in shown.evidence.cell("median", 1.0)["run"]
        ]
    )
    assert table.numbers[EVIL].iloc[3] == pytest.approx(mean)


def test_figures_have_the_metrics_of_groups(shown: Content) -> None:
    drawn = {chart.chosen_by["metric"] for chart in shown.over}
    curves = {chart.chosen_by["metric"] for row in shown.curves for chart in row}
    assert {*GROUPS} <= drawn & curves
    assert [chart.title for chart in shown.groups.charts] == [
        "group accuracy [%], alpha 10.0",
        "group accuracy [%], alpha 1.0",
    ]
    assert {"class-accuracy", "group-accuracy"} <= {plate.slug for plate in shown.plates}
    names = [chart.name for chart in (*shown.classes.charts, *shown.groups.charts)]
    assert len(names) == len(set(names)) == 4


def test_the_page_has_a_heat_map_of_groups_and_escapes_their_names(shown: Content) -> None:
    page = render_page(shown)
    assert "<h3>Accuracy of each group</h3>" in page
    assert "Groups of images: usual, &lt;script&gt;" in page
    assert EVIL not in page
    assert "best minus worst group accuracy" in page  # what a metric of a claim is


def test_data_without_groups_has_nothing_of_them(without: Content) -> None:
    page = render_page(without)
    assert "group" not in {word for sheet in without.sheets for cell in sheet.header for word in cell.split()}
    assert not {*GROUPS} & {*without.metrics, *without.curve_metrics, *without.evidence.results.columns}
    assert without.groups.charts == []
    assert without.groups.sheets == []
    assert "Accuracy of each group" not in page
    assert "Groups of images" not in page
    assert "group-accuracy" not in {sheet.slug for sheet in without.sheets}
    assert "group-accuracy" not in {plate.slug for plate in without.plates}


def test_groups_change_no_other_number(shown: Content, without: Content) -> None:
    mine = shown.evidence.results.drop(columns=[*GROUPS, "run", "folder"], errors="ignore")
    theirs = without.evidence.results.drop(columns=["run", "folder"], errors="ignore")
    assert mine.equals(theirs)


def test_cells_with_other_groups_are_not_in_one_table(tmp_path: Path) -> None:
    """Where one of two series has groups, or both have others, there is no common table."""
    folder = make_study(
        tmp_path / "study", axes={"setting": {"variants": {"a": {}, "b": {"training.epochs": 1}}}}
    )
    complete(folder)
    found = gather(folder)
    assert group_tables(found) == []
    assert classes_sheet(found, []) is None
    runs = {label: found.cell("all runs", label)["run"].tolist() for label in ("a", "b")}
    for run in runs["a"]:
        found.records[run][-1].per_group_accuracy.update({"old": 0.5, "new": 1.0})
    (one,) = group_tables(found)
    assert (one.classes, one.column, [cell.mean for cell in one.cells[0]]) == (
        ["old", "new"],
        "a",
        [50.0, 100.0],
    )
    found.records[runs["a"][0]][-1].per_group_accuracy["other"] = 0.0
    assert group_tables(found) == []
