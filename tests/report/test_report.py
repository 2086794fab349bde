"""What a report is made from: roles of the axes, curves, charts, tables of findings; worked out by hand."""

from __future__ import annotations

import base64
import io
import json
import math
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from fedskew.analysis import Estimate, judge, study_differences
from fedskew.errors import RunError
from fedskew.files import read_lines, to_json
from fedskew.papers import claims_of
from fedskew.report.evidence import EVERYTHING, Evidence, gather
from fedskew.report.figures.heterogeneity import choices
from fedskew.report.figures.style import COLOURS, MARKERS, contrast, look
from fedskew.report.figures.trojan import data_uri, trojan
from fedskew.report.numbers import estimate_words, interval, number, p_text, run_words
from fedskew.report.over import over
from fedskew.report.page.content import build_content
from fedskew.report.page.render import render_page
from fedskew.report.parts import parts_of
from fedskew.report.rounds import MOST_POINTS, cell_curves, curve
from fedskew.report.splits import column_splits
from fedskew.report.tables import statistics
from fedskew.report.tables.classes import class_tables, classes_sheet, shown_classes
from fedskew.report.tables.rounds import long_files
from fedskew.report.tables.runs import runs_sheet
from fedskew.report.tables.sheet import MOST_ROWS, Sheet, for_page, render
from fedskew.report.tables.study import study_tables
from fedskew.report.words import completeness, headline, missing_cells, sentence
from fedskew.report.write import write_report
from fedskew.runs.locks import locked
from fedskew.runs.trigger import TriggerExample, TriggerExamples
from fedskew.wording import count, duration
from helpers import put_records
from report_helpers import (
    BASE,
    CLASSES,
    FACTORIAL,
    PAPER_AXES,
    SETTINGS,
    complete,
    make_study,
    paying,
    write_run,
)


def test_many_settings_are_compared_with_the_first_alone(tmp_path: Path) -> None:
    clients = {"field": "clients.count", "values": [3, 4, 5, 6, 7]}
    found = evidence(tmp_path / "study", {"alpha": PAPER_AXES["alpha"], "clients": clients}, seeds=[0])
    differences = study_differences(found.results, found.study, ["accuracy"])
    assert {(one.first, one.second) for one in differences} == {(3, second) for second in (4, 5, 6, 7)}


def test_claims_without_complete_cells_are_not_said_to_have_zero_seeds(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes=PAPER_AXES)
    complete(folder, lambda plan: plan.cell["setting"] == "no attack" and plan.cell["alpha"] == 1.0)
    found = gather(folder)
    text = headline(judge(found.study, found.results, claims_of(found.study)), found)
    assert text.startswith("None of 9 claims can be judged yet")


def evidence(path: Path, axes: dict[str, Any], **changes: Any) -> Evidence:
    folder = make_study(path, axes=axes, **changes)
    complete(folder)
    return gather(folder)


# --- numbers ----------------------------------------------------------------------------------------


def test_numbers_in_words() -> None:
    assert number(-1.005, 1) == "−1.0"
    assert number(-0.001) == "0.00", "no minus before nothing"
    assert number(0.001, sign=True) == "0.00"
    assert number(2, sign=True) == "+2.00"
    assert number(math.nan) == "–"
    assert interval(-1, 2, 1, sign=True) == "[−1.0, +2.0]"
    assert interval(math.nan, math.nan) == "–"
    assert (p_text(0.25), p_text(1e-9), p_text(math.nan)) == ("0.25", "< 0.0001", "–")
    assert (count(1, "run"), count(0, "run")) == ("1 run", "0 runs")
    assert [duration(s) for s in (math.nan, 42, 600, 9000)] == ["–", "42 s", "10 min", "2.5 h"]
    assert sentence(" the loss fell") == "The loss fell."
    told = estimate_words("bias", Estimate(20, 1.5, 16.3, 23.7, 3, ("a", "b", "c")), " %")
    assert told == "bias 20.00 ± 1.50 %\n95 % interval [16.30, 23.70]\n3 seeds: a, b, c"
    alone = estimate_words("bias", Estimate(20, math.nan, math.nan, math.nan, 1, ("a",)), "")
    assert alone == "bias 20.00\n1 seed: a"


# --- roles of the axes ------------------------------------------------------------------------------


def test_the_axis_from_left_to_right(tmp_path: Path) -> None:
    setting: dict[str, Any] = {"variants": SETTINGS}
    numbers = {"field": "clients.count", "values": [5, 10]}
    flags = {"field": "data.verify", "values": [True, False]}
    for axes, across, series in (
        ({}, None, [EVERYTHING]),
        ({"setting": setting}, "setting", [EVERYTHING]),
        ({"setting": setting, "alpha": PAPER_AXES["alpha"], "clients": numbers}, "alpha", None),
        ({"setting": setting, "clients": numbers}, "clients", list(SETTINGS)),
        ({"flag": flags, "setting": setting}, "flag", list(SETTINGS)),
        ({"flag": flags, "clients": numbers}, "clients", ["True", "False"]),
    ):
        found = gather(make_study(tmp_path / str(len(list(tmp_path.iterdir()))), axes=axes))
        assert found.across == across
        if series is not None:
            assert list(found.series) == series
    assert list(gather(make_study(tmp_path / "x")).series) == list(SETTINGS)
    # A cell that is left out at one alpha does not change places in the legend.
    partly = make_study(tmp_path / "y", exclude=[{"alpha": 1.0, "setting": "no attack"}])
    assert list(gather(partly).series) == list(SETTINGS)
    without = make_study(tmp_path / "z", exclude=[{"setting": "backdoor"}])
    assert list(gather(without).series) == ["no attack", "backdoor + RLR"]


def test_many_series_come_in_parts_of_few(tmp_path: Path) -> None:
    exclude = [{"setting": "no attack", "epochs": 2}]
    found = evidence(tmp_path / "study", FACTORIAL, seeds=[0], exclude=exclude)
    assert len(found.series) == 11
    parts = parts_of(found)
    assert [part.part for part in parts] == [(n, f"setting {name}") for n, name in enumerate(SETTINGS)]
    for part in parts:
        assert list(part.series) == ["1", "2", "3", "4"], (
            "the same series, so the same looks, in each of them"
        )
        assert part.across == "alpha"
        assert set(part.results["run"]) == set(part.records) == {note.plan.identity for note in part.notes}
        assert parts_of(part) == [part]
    assert sum(len(part.results) for part in parts) == len(found.results)
    assert set(parts[1].cell("3", 0.25)["run"]) == set(found.cell("backdoor, 3", 0.25)["run"])
    assert parts[0].cell("2", 1.0).empty, "it is left out"
    assert parts[2].slug("rounds") == "rounds-3-setting-backdoor-RLR"
    assert parts[2].named("accuracy", "") == "accuracy, setting backdoor + RLR"
    assert (found.slug("rounds"), found.named("accuracy", "alpha 1.0")) == ("rounds", "accuracy, alpha 1.0")


def test_where_a_study_is_cut(tmp_path: Path) -> None:
    def numbers(field: str, many: int) -> dict[str, Any]:
        return {"field": field, "values": list(range(2, many + 2))}

    epochs, clients = numbers("training.epochs", 3), numbers("clients.count", 4)
    batch, rounds = numbers("training.batch_size", 5), numbers("rounds", 9)
    alpha = {"alpha": PAPER_AXES["alpha"]}
    for axes, words, series in (
        ({"epochs": numbers("training.epochs", 7)}, [], 7),
        ({"length": rounds}, [], 9),  # too many, and nothing to cut along
        ({"epochs": epochs, "clients": clients}, ["epochs 2", "epochs 3", "epochs 4"], 4),
        ({"clients": clients, "length": rounds}, [f"length {n}" for n in range(2, 11)], 4),
        ({"epochs": epochs, "clients": clients, "batch": batch}, None, 5),
    ):
        folder = make_study(tmp_path / str(len(list(tmp_path.iterdir()))), axes=alpha | axes, seeds=[0])
        parts = parts_of(gather(folder))
        assert len(parts[0].series) == series
        if words is None:
            assert len(parts) == 3 * 4
            assert parts[1].part == (1, "epochs 2, clients 3")
        elif words:
            assert [part.part[1] for part in parts if part.part] == words
        else:
            assert parts[0].part is None


def test_a_cell_of_three_axes(tmp_path: Path) -> None:
    axes = {**PAPER_AXES, "epochs": {"field": "training.epochs", "values": [1, 2]}}
    found = evidence(tmp_path / "study", axes)
    assert len(found.series) == 6
    rows = found.cell("backdoor, 2", 0.25)
    assert sorted(rows["seed"]) == [0, 1]
    assert set(rows["setting"]) == {"backdoor"}
    assert set(rows["epochs"]) == {2}


# --- curves -----------------------------------------------------------------------------------------


def test_a_curve_is_the_mean_and_range_of_the_seeds_that_still_run(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes={}, seeds=[0, 1])
    short, long = folder.planned
    write_run(folder, short, 3)
    write_run(folder, long, 5)
    found = gather(folder)
    one = curve(found, EVERYTHING, None, "test_loss")
    assert one is not None
    assert one.rounds.tolist() == [1, 2, 3, 4, 5]
    assert one.mean.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert one.seeds.tolist() == [2, 2, 2, 1, 1]
    assert one.full == 3

    share = curve(found, EVERYTHING, None, "accuracy")
    assert share is not None
    values = [100 * folder.run_folder(p).read_records()[1].metrics["accuracy"] for p in (short, long)]
    assert share.mean[1] == pytest.approx(sum(values) / 2)
    assert (share.low[1], share.high[1]) == pytest.approx((min(values), max(values)))
    assert curve(found, EVERYTHING, None, "no_such_metric") is None


def test_the_defences_trace_is_a_curve(tmp_path: Path) -> None:
    found = evidence(tmp_path / "study", PAPER_AXES)
    (one,) = cell_curves(found, 0.5, "negative_rate_share")
    assert one.label == "backdoor + RLR"
    assert one.number == 2, "its colour is that of its series"
    assert one.mean[0] == pytest.approx(20), "a share, in percent"


def test_long_curves_are_thinned_and_keep_their_ends(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes={}, seeds=[0, 1])
    write_run(folder, folder.planned[0], 401)
    write_run(folder, folder.planned[1], 1000)
    one = curve(gather(folder), EVERYTHING, None, "test_loss")
    assert one is not None
    assert one.thinned == 7
    assert len(one.rounds) <= MOST_POINTS
    assert {1, 401, 1000} <= set(one.rounds)
    assert one.full == sum(one.rounds <= 401)


def test_a_metric_of_every_tenth_round_of_a_long_run(tmp_path: Path) -> None:
    """Thinned are the rounds in which it was measured, not those in which it was not."""
    folder = make_study(tmp_path / "study", axes={}, seeds=[0])
    complete(folder, rounds=lambda plan: 205)
    path = folder.run_folder(folder.planned[0]).path
    lines = read_lines(path / "rounds.jsonl")
    for line in lines:
        if line["round"] % 10:
            del line["metrics"]["test_loss"]
    put_records(path, lines)
    one = curve(gather(folder), EVERYTHING, None, "test_loss")
    assert one is not None
    assert one.rounds.tolist() == list(range(10, 201, 10))


# --- figures ----------------------------------------------------------------------------------------


def test_looks_differ_in_more_than_colour() -> None:
    looks = [look(n) for n in range(3 * len(COLOURS))]
    assert len({(one.marker, str(one.line)) for one in looks}) == len(looks)
    assert len({one.colour for one in looks[: len(COLOURS)]}) == len(MARKERS)


def test_contrast_by_hand() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_the_x_axis_can_be_a_measured_skew(tmp_path: Path) -> None:
    assert list(choices(evidence(tmp_path / "a", PAPER_AXES)))[:2] == ["axis", "skew_total_variation"]
    assert list(choices(gather(make_study(tmp_path / "b")))) == ["axis"]


def test_class_accuracies_by_hand(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes={"setting": PAPER_AXES["setting"]})
    complete(folder)
    found = gather(folder)
    tables = class_tables(found, ("cat", "dog", "owl"))
    assert [table.title for table in tables] == [f"setting {name}" for name in SETTINGS]
    runs = found.cell(EVERYTHING, "backdoor")["run"]
    by_seed = [found.records[run][-1].per_class_accuracy[2] for run in runs]
    cell = tables[1].cells[0][2]
    assert cell.mean == pytest.approx(100 * sum(by_seed) / 2)
    assert cell.runs == tuple(runs)
    assert class_tables(found, ("only", "two"))[0].classes == ["0", "1", "2"]
    sheet = classes_sheet(found, tables)
    assert sheet is not None
    assert sheet.header == ["setting", "series", "cat", "dog", "owl"]


def test_splits_come_from_the_folders_else_from_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_study(tmp_path / "study", axes={"alpha": PAPER_AXES["alpha"]})
    write_run(folder, folder.planned[0], 3)
    splits, words = column_splits(gather(folder))
    assert words == ""
    assert [one.column for one in splits] == [0, 1, 2]
    assert splits[0].split.class_names[0] == "cat", "from the run's folder"
    assert splits[0].split.malicious == (3,)
    assert splits[1].split.class_names == tuple("0123456789"), "drawn again from the embedded digits"
    assert splits[1].split.counts.sum() == 1437

    damaged = folder.run_folder(folder.planned[0]).path / "clients.json"
    damaged.write_text('{"class_names": ["a"], "label_counts": [[1, 2]], "malicious": [], "held_out": 0}')
    assert column_splits(gather(folder))[0][0].split.class_names == tuple("0123456789")

    base = {**BASE, "data": "fashion-mnist"}
    monkeypatch.setenv("FEDSKEW_DATA", str(tmp_path / "nothing"))
    splits, words = column_splits(gather(make_study(tmp_path / "other", base=base)))
    assert splits == []
    assert words.startswith("The split of 9 of the runs of seed 0 is left out")


def test_pictures_are_made_again_from_the_data_root_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 8, 8), dtype=np.uint8) for n in (300, 30))
    (tmp_path / "root").mkdir()
    file = tmp_path / "root" / "mine.npz"
    np.savez(file, x_train=train, y_train=np.arange(300) % 3, x_test=test, y_test=np.arange(30) % 3)
    monkeypatch.setenv("FEDSKEW_DATA", str(tmp_path / "nothing"))
    monkeypatch.chdir(tmp_path)
    base = {**BASE, "data": {"name": "npz", "path": "mine.npz"}, "clients": {"count": 3}}
    folder = make_study(tmp_path / "study", base=base, axes={})
    without, there = gather(folder), gather(folder, data_dir=tmp_path / "root")
    assert (column_splits(without)[0], trojan(without)[0]) == ([], None)
    (shown,), words = column_splits(there)
    assert (shown.split.counts.sum(), words) == (300, "")
    found, why = trojan(there)
    assert (found is not None, why) == (True, "")


def test_the_trojan_is_the_attacks_own_trigger(tmp_path: Path) -> None:
    found, why = trojan(gather(make_study(tmp_path / "study")))
    assert why == ""
    assert found is not None
    assert (found.target, [s.name for s in found.samples if s.target]) == ("2", ["2"])
    for sample in found.samples:
        assert sample.original.shape == (8, 8, 3)
        differs = sample.original != sample.triggered
        assert (sample.triggered[differs] == 255).all(), "a plus of white"
        assert ((sample.difference > 0) == differs).all()
        assert (sample.difference[differs] >= 100).all(), "and every change can be seen"


def test_the_trojan_of_a_plug_in_is_what_its_run_recorded(tmp_path: Path) -> None:
    """A report imports no plug-in and needs no data for it."""
    base = {**BASE, "data": "skew_no_such_module:data", "attack": "skew_no_such_module:attack"}
    folder = make_study(tmp_path / "study", base=base, axes={}, seeds=[0, 1])
    assert trojan(gather(folder))[0] is None
    complete(folder)
    before = np.full((3, 4, 5), 10, dtype=np.uint8)
    after = before.copy()
    after[:, 1, 2] = (255, 11, 0)
    shown = [TriggerExample(name, name == "owl", name == "dog", before, after) for name in ("dog", "owl")]
    recorded = TriggerExamples("cats", "dog", 7, 3, tuple(shown))
    path = folder.run_folder(folder.planned[0]).path / "trigger.json"
    path.write_text("{")
    assert trojan(gather(folder))[0] is None, "a damaged one counts as none"
    path = folder.run_folder(folder.planned[1]).path / "trigger.json"
    path.write_text(to_json(recorded.to_json()))
    found, why = trojan(gather(folder))
    assert why == ""
    assert found is not None
    assert (found.title, found.target) == ("cats, attack skew_no_such_module:attack", "dog")
    assert found.rule == "2 of 7 classes are shown; one of 3 pixels of each line is drawn"
    assert [(one.name, one.base, one.target) for one in found.samples] == [
        ("dog", False, True),
        ("owl", True, False),
    ]
    (sample, _) = found.samples
    assert sample.original.shape == (4, 5, 3)
    assert sample.triggered[1, 2].tolist() == [255, 11, 0]
    assert sample.difference[1, 2].tolist() == [100 + 245 * 155 // 255, 100, 100 + 10 * 155 // 255]
    assert sample.difference.sum() == sample.difference[1, 2].sum()
    written = write_report(folder)
    assert {path.name for path in written.figures} >= {"trojan.svg", "trojan.png"}
    page = written.page.read_text(encoding="utf-8")
    assert "2 of 7 classes are shown" in page
    assert page.count("data:image/png;base64,") == 6


def test_an_image_of_the_page_is_a_png(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    kind, _, data = data_uri(pixels).partition(",")
    assert kind == "data:image/png;base64"
    (tmp_path / "image.png").write_bytes(base64.b64decode(data))
    assert (np.rint(255 * mpl.image.imread(tmp_path / "image.png")).astype(np.uint8) == pixels).all()


# --- the same value twice, and classes without images -----------------------------------------------


def test_two_labels_of_one_value_are_one_point(tmp_path: Path) -> None:
    alpha = {"field": "split.alpha", "values": [1, 1.0, 0.25]}
    found = evidence(tmp_path / "study", {"alpha": alpha, "setting": {"variants": SETTINGS}})
    assert found.columns == [1, 0.25]
    assert len(found.cell("backdoor", 1)) == 2, "two seeds"
    shown = over(found, "accuracy", "axis")
    assert [(one.series, one.label, one.mean.n) for one in shown.points] == [
        (series, label, 2) for series in range(3) for label in (1, 0.25)
    ]
    assert len({tuple(point) for point in shown.points[0].xs[:, None]}) == 1
    assert found.facets == [("alpha 1", 1), ("alpha 0.25", 0.25)]


def test_labels_that_share_their_runs_are_one_point_at_a_measured_skew(tmp_path: Path) -> None:
    lengths: dict[str, Any] = {"nine": {}, "as usual": {"rounds": 9}, "five": {"rounds": 5}}
    found = evidence(tmp_path / "study", {"length": {"variants": lengths}})
    assert len(over(found, "accuracy", "axis").points) == 3
    assert [one.label for one in over(found, "accuracy", "skew_total_variation").points] == ["nine", "five"]


def test_a_class_without_test_images_is_named(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes={"setting": {"variants": SETTINGS}})
    complete(folder)
    for plan in folder.planned:
        path = folder.run_folder(plan).path
        lines = read_lines(path / "rounds.jsonl")
        for line in lines:
            line["per_class_accuracy"][0] = None
        put_records(path, lines)
    found = gather(folder)
    sheet = classes_sheet(found, class_tables(found, CLASSES))
    assert sheet is not None
    assert "no test images: class cat" in sheet.notes
    assert sheet.rows[0][2] == "-"
    assert len(sheet.runs[0]) == 2
    page = render_page(build_content(found))
    assert "class cat\nno test images of this class</title>" in page
    assert "nan" not in page.lower().split()


# --- much of everything -----------------------------------------------------------------------------


def test_of_many_classes_the_lowest_and_the_highest_are_shown(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes={"setting": {"variants": SETTINGS}})
    complete(folder, classes=[f"c{k}" for k in range(100)])
    found = gather(folder)
    tables = class_tables(found)
    shown = shown_classes(tables)
    means = np.mean([[cell.mean for cell in line] for table in tables for line in table.cells], axis=0)
    order = np.argsort(means, kind="stable").tolist()
    assert shown.places == order[:15] + order[-15:]
    assert shown.tables[0].classes == [str(k) for k in shown.places]
    assert shown.tables[1].cells[0][29].mean == tables[1].cells[0][order[-1]].mean
    assert shown.rule.startswith(
        "Of 100 classes the 15 with the lowest and the 15 with the highest mean accuracy"
    )
    sheet = classes_sheet(found, tables)
    assert sheet is not None
    assert len(sheet.header) == len(sheet.rows[0]) == 2 + 100
    brief = for_page(sheet)
    assert len(brief.header) == len(brief.rows[0]) == 2 + 30
    assert shown.rule in brief.notes
    assert brief.rows[0][2] == sheet.rows[0][2 + order[0]]
    assert shown_classes(tables[:0]).tables == []


def test_of_many_settings_few_are_drawn(tmp_path: Path) -> None:
    many = {f"s{k}": {"training.epochs": k + 1} for k in range(20)}
    found = evidence(
        tmp_path / "study", {"alpha": PAPER_AXES["alpha"], "setting": {"variants": many}}, seeds=[0]
    )
    results = found.results.copy()
    results["accuracy"] = [0.5 + 0.01 * (7 * int(name[1:]) % 20) for name in results["setting"]]
    found = replace(found, results=results)
    (part,) = parts_of(found)
    ranked = sorted(many, key=lambda name: 7 * int(name[1:]) % 20)
    assert set(part.series) == {*ranked[:4], *ranked[-3:]}, "s0 is the first, and the lowest"
    assert list(part.series) == sorted(part.series, key=lambda name: int(name[1:])), (
        "in the order of the study"
    )
    assert part.series_rule == (
        "Of 20 labels of setting, 7 are drawn: the first, and those with the lowest and the highest accuracy. "
        "The tables have them all."
    )
    assert len(found.series) == 20
    content = build_content(found)
    assert [name for name, _ in content.legend] == list(part.series)
    assert part.series_rule in render_page(content)
    assert len(content.main.rows) == 3 * 20, "the table has them all"


def test_of_many_labels_few_have_panels(tmp_path: Path) -> None:
    alpha = {"field": "split.alpha", "values": [round(0.1 * 1.2**k, 4) for k in range(40)]}
    (part,) = parts_of(evidence(tmp_path / "study", {"alpha": alpha}, seeds=[0]))
    labels = [label for _, label in part.facets]
    assert len(labels) == 12
    assert (labels[0], labels[-1]) == (alpha["values"][0], alpha["values"][-1])
    assert max(np.diff(np.log(labels))) < 2 * min(np.diff(np.log(labels))), "evenly spaced on its scale"
    assert "Of 40 labels of alpha, 12 have panels of their own: evenly spaced." in part.panel_rule
    shown = over(part, "accuracy", "axis")
    assert len(shown.labels) == 30
    assert shown.rule == "Of 40 labels of alpha, 30 are drawn, evenly spaced; the tables have them all."

    names = {f"s{k}": {"training.epochs": k + 1} for k in range(40)}
    (other,) = parts_of(evidence(tmp_path / "other", {"setting": {"variants": names}}, seeds=[0]))
    assert len(other.facets) == 12
    assert other.facets[0][1] == "s0"
    shown = over(other, "accuracy", "axis")
    means = [point.mean.mean for point in sorted(shown.points, key=lambda one: shown.labels.index(one.label))]
    assert len(means) == 16
    assert means == sorted(means)
    assert "the 8 with the lowest and the 8 with the highest accuracy are drawn, in this order" in shown.rule


def test_a_page_shows_the_first_rows_of_a_long_table() -> None:
    runs = tuple((f"run{k}",) for k in range(1000))
    sheet = Sheet("long", "Long", ["a"], [[str(k)] for k in range(1000)], pd.DataFrame(), runs=runs)
    brief = for_page(sheet)
    assert len(brief.rows) == len(brief.runs) == MOST_ROWS
    assert brief.notes == (f"the first {MOST_ROWS} of 1000 rows; all are in tables/long.csv",)
    assert for_page(brief).notes == brief.notes
    assert len(render(sheet, "markdown").splitlines()) > 1000


def test_the_runs_of_a_number_are_told_as_far_as_they_can_be_read() -> None:
    runs = [f"r{k}" for k in range(50)]
    assert run_words(runs).endswith("r11 and 38 more")
    told = estimate_words("bias", Estimate(2, 1, 1, 3, 50, tuple(runs)), "", [float(k) for k in range(50)])
    assert "single seeds from 0.00 to 49.00" in told


@pytest.mark.slow
@pytest.mark.parametrize("name", ["classes", "clients", "settings", "labels", "grid", "runs"])
def test_a_report_of_much_of_everything_ends_and_can_be_read(tmp_path: Path, name: str) -> None:
    alpha = {"alpha": {"field": "split.alpha", "values": [1.0, 0.25]}}

    def settings(many: int, field: str = "training.epochs") -> dict[str, Any]:
        return {"variants": {f"{field} {k}": {field: k + 1} for k in range(many)}}

    changes: dict[str, Any] = {}
    written: dict[str, Any] = {}
    match name:
        case "classes":
            written = {"classes": [f"a class with number {k}" for k in range(1000)]}
        case "clients":
            written = {"clients": 500}
        case "settings":
            changes = {"axes": {**alpha, "setting": settings(300)}, "seeds": [0]}
        case "labels":
            changes = {"axes": {"setting": settings(300)}}
        case "grid":
            axes = {"epochs": settings(15), "batch": settings(20, "training.batch_size")}
            changes = {"axes": alpha | axes, "seeds": [0]}
        case "runs":
            changes = {"axes": {**alpha, "setting": settings(20)}, "seeds": list(range(25))}
    folder = make_study(tmp_path / "study", **changes)
    complete(folder, **written)
    start = time.process_time()
    report = write_report(folder)
    # Half a minute to two minutes, by the processor; what grows with the square of anything here would take hours.
    assert time.process_time() - start < 600, "seconds of the processor"
    assert report.page.stat().st_size < 5_000_000
    for path in report.figures:
        assert path.stat().st_size < 8_000_000, path.name
        if path.suffix == ".png":
            height, width, _ = mpl.image.imread(path).shape
            assert height * width < 60e6, path.name


# --- words and tables -------------------------------------------------------------------------------


def test_what_is_missing_is_counted(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    assert completeness(gather(folder)).startswith("0 of 18 runs are complete, 18 runs not started.")
    complete(folder, lambda plan: plan.seed == 0 and plan.cell["setting"] != "backdoor")
    found = gather(folder)
    assert missing_cells(found) == [f"alpha {alpha}, setting backdoor" for alpha in (1.0, 0.5, 0.25)]
    complete(folder)
    assert completeness(gather(folder)) == "All 18 runs of the study are complete."
    assert headline([], gather(folder)).startswith("No claim is judged")


def test_a_run_of_several_cells_is_counted_once_everywhere(tmp_path: Path) -> None:
    """Two of three labels are the same experiment: four runs for six cells of one seed."""
    lengths: dict[str, Any] = {"nine": {}, "as usual": {"rounds": 9}, "five": {"rounds": 5}}
    settings = {name: SETTINGS[name] for name in ("no attack", "backdoor")}
    axes = {"setting": {"variants": settings}, "length": {"variants": lengths}}
    folder = make_study(tmp_path / "study", axes=axes, seeds=[0])
    complete(folder, lambda plan: plan.cell["setting"] == "no attack" and plan.cell["length"] == "nine")
    found = gather(folder)
    content = build_content(found)
    assert completeness(found).startswith("1 of 4 runs are complete, 3 runs not started.")
    text = study_tables(folder.study, folder.planned, folder.path)
    assert "3 of 4 runs are not complete" in text
    assert "3 of 4 runs are not complete" in " ".join(content.main.notes)
    assert any("3 of 4 runs are not complete" in one.text for one in content.reasons)


def test_a_report_removes_what_an_earlier_one_wrote_and_nothing_else(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=[0])
    write_report(folder)  # nothing to draw yet
    report = folder.path / "report"
    for name in ("figures/mine.svg", "figures/old.svg", "notes.txt", "figures/old.txt"):
        (report / name).write_text("kept")
    outside = tmp_path / "figures" / "outside.svg"
    outside.parent.mkdir()
    outside.write_text("kept")
    named = [
        "figures/old.svg",
        "figures/old.txt",
        "notes.txt",
        "../figures/outside.svg",
        str(outside),
        "figures/gone.svg",
        "figures/a-folder.svg",
        "figures/nul\0.svg",
        7,
    ]
    (report / "figures" / "a-folder.svg").mkdir()
    listing = report / "written-by-fedskew.jsonl"
    listing.write_text("".join(json.dumps(name) + "\n" for name in named))
    written = write_report(folder)
    there = {path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file()}
    ours = {path.relative_to(report).as_posix() for path in (*written.tables, *written.figures)}
    assert there - ours == {"index.html", listing.name, "figures/mine.svg", "figures/old.txt", "notes.txt"}
    assert outside.exists()
    for damaged in ("not a list\n", '"figures/\\ud800.svg"\n', "[" * 100_000 + "\n"):
        listing.write_text(damaged)
        assert write_report(folder).tables


def test_a_report_removes_nothing_behind_a_link(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=[0])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.md").write_text("dear diary")
    report = folder.path / "report"
    report.mkdir()
    (report / "tables").symlink_to(tmp_path / "notes")
    (report / "written-by-fedskew.jsonl").write_text('"tables/diary.md"\n')
    with pytest.raises(RunError, match="tables is a link"):
        write_report(folder)
    assert (tmp_path / "notes" / "diary.md").read_text() == "dear diary"


def test_a_report_of_fewer_runs_leaves_no_figure_of_the_earlier_one(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=[0], axes={})
    complete(folder)
    before = write_report(folder)
    shutil.rmtree(folder.path / "runs")
    after = write_report(folder)
    there = {path for name in ("tables", "figures") for path in (folder.path / "report" / name).iterdir()}
    assert there == {*after.tables, *after.figures}
    assert len(after.figures) < len(before.figures)


def test_each_long_file_is_thinned_by_its_own_rows(tmp_path: Path) -> None:
    """Krum gives ten weights in each of eight rounds, and there are more metrics than that."""
    evidence = gather(paying(tmp_path / "study", seeds=[0]))
    whole = {file.name: pd.read_csv(io.StringIO(file.text)) for file in long_files(evidence)}
    for name, most in (("traces.csv", len(whole["traces.csv"])), ("rounds.csv", len(whole["rounds.csv"]))):
        files = {file.name: file for file in long_files(evidence, most)}
        assert files[name].every == 1
        assert pd.read_csv(io.StringIO(files[name].text)).equals(whole[name])
    krums = [plan for plan in evidence.planned if plan.experiment.defence.aggregator.name == "krum"]
    assert len(whole["traces.csv"]) == 10 * 8 * len(krums) < len(whole["rounds.csv"])
    assert {file.name: file.every for file in long_files(evidence, 10 * 8 * len(krums))}["rounds.csv"] > 1
    last = {file.name: pd.read_csv(io.StringIO(file.text)) for file in long_files(evidence, 1)}["traces.csv"]
    assert set(last["round"]) == {8}
    assert len(last) == 10 * len(krums), "the last rounds stay"


def test_a_study_that_traces_nothing_has_the_columns(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=[0], axes={"alpha": PAPER_AXES["alpha"]})

    def text() -> str:
        return {file.name: file.text for file in long_files(gather(folder))}["traces.csv"]

    assert text() == "round,name,client,value\n"
    complete(folder)
    assert text() == "alpha,seed,run,round,name,client,value\n"


def test_a_report_waits_for_whoever_holds_the_study(tmp_path: Path) -> None:
    """Another audit of the same folder, say, which ends at the same time and writes the same files."""
    folder = make_study(tmp_path / "study", seeds=[0], axes={})
    complete(folder)
    held, seen = threading.Event(), []

    def hold() -> None:
        with locked(folder.path):
            held.set()
            time.sleep(0.5)
            seen.append((folder.path / "report" / "index.html").exists())

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    written = write_report(folder)
    holder.join()
    assert seen == [False]
    assert written.page.exists()
    with locked(folder.path):
        assert write_report(folder, tmp_path / "elsewhere").page.exists(), "nobody else writes there"


def test_differences_and_trends_name_their_runs(tmp_path: Path) -> None:
    found = evidence(tmp_path / "study", PAPER_AXES, seeds=[0, 1, 2])
    differences = study_differences(found.results, found.study, ["backdoor_accuracy"])
    # Three pairs of settings: pooled, and at each of three alphas.
    pairs = list(dict.fromkeys((one.first, one.second) for one in differences))
    assert pairs == [
        ("no attack", "backdoor"),
        ("no attack", "backdoor + RLR"),
        ("backdoor", "backdoor + RLR"),
    ]
    assert len(differences) == 3 * (1 + 3)
    sheet = statistics.differences_sheet(differences)
    row = sheet.rows[0]
    assert row[:3] == ["backdoor accuracy", "backdoor minus no attack", "all"]
    assert 60 < float(row[3]) < 70
    assert len(sheet.runs[0]) == 2 * 3 * 3
    trends = statistics.trends_sheet(found, ["accuracy"])
    assert [row[1] for row in trends.rows] == list(SETTINGS)
    assert all(-5.6 < float(row[2].replace("−", "-")) < -4.4 for row in trends.rows), "5 points per halving"
    assert {len(runs) for runs in trends.runs} == {9}
    runs = runs_sheet(found)
    assert len(runs.rows) == 27
    assert runs.rows[0][4:7] == ["done", "7 rounds: all rounds are done", "5 s"]
