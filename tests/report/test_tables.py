"""A study's tables in every format: numbers worked out by hand, special characters, the paper's beside ours."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from fedskew.errors import ConfigError
from fedskew.papers import published_beside
from fedskew.partition.heterogeneity import heterogeneity
from fedskew.protocols import RoundRecord
from fedskew.report.figures.splits import split_caption
from fedskew.report.numbers import mean_std
from fedskew.report.tables import study as tables
from fedskew.report.tables.best import best_sheets
from fedskew.report.tables.paper import paper_sheets
from fedskew.report.tables.runs import metrics_text
from fedskew.report.tables.sheet import EXTENSIONS, Sheet, as_csv, render
from fedskew.report.tables.split import split_table
from fedskew.report.tables.study import make_sheets, study_tables
from fedskew.study.grid import Study
from fedskew.study.splits import Split

STYLES = [*EXTENSIONS, "json"]
PLANNED: Any = [SimpleNamespace(identity=run) for run in "abcd"]
"""Four runs, as far as tables know them."""


def study(**changes: Any) -> Study:
    content: dict[str, Any] = {
        "name": "mine",
        "seeds": [0, 1],
        "axes": {
            "alpha": {"field": "split.alpha", "values": [1.0, 0.5]},
            "setting": {"variants": {"no attack": {}, "backdoor": {}}},
        },
    }
    return Study.model_validate(content | changes)


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Three runs of four, instead of what lies in a folder."""
    frame = pd.DataFrame(
        {
            "alpha": [1.0, 0.5, 1.0],
            "setting": ["no attack", "backdoor", "no attack"],
            "seed": [0, 0, 1],
            "run": ["a", "b", "c"],
            "rounds": [10, 7, 13],
            "stopped": ["enough"] * 3,
            "accuracy": [0.90, 0.5, 0.92],
            "bias": [0.20, 0.4, 0.20],
            "backdoor_accuracy": [None, 0.75, None],
            "test_loss": [1.0, 5.0, 2.0],
        }
    )
    monkeypatch.setattr(tables, "results_table", lambda planned, folder: frame)
    return frame


def show(record: Study, style: str, metrics: tuple[str, ...] = ()) -> str:
    return study_tables(record, PLANNED, Path(), style, metrics)


def cells(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]


def test_mean_std() -> None:
    assert mean_std(90.0849, 0.1651) == "90.08 ± 0.17"
    assert mean_std(90.0, float("nan")) == "90.00"
    assert mean_std(float("nan"), float("nan")) == "-"
    assert mean_std(0.0, 0.0) == "0.00 ± 0.00"


@pytest.mark.usefixtures("results")
def test_markdown() -> None:
    text = show(study(), "markdown")
    assert text.startswith("**mine**")
    assert cells(text) == [
        ["alpha", "setting", "accuracy", "bias", "backdoor accuracy", "rounds", "seeds"],
        ["---"] * 7,
        # 90 and 92: mean 91, deviations 1 and 1, sqrt(2 / 1) = 1.41.
        ["1.0", "no attack", "91.00 ± 1.41", "20.00 ± 0.00", "-", "11.5", "2"],
        ["0.5", "backdoor", "50.00", "40.00", "75.00", "7.0", "1"],
    ]
    assert "1 of 4 runs are not complete" in text
    assert "mean ± sample standard deviation over seeds; accuracy, bias, backdoor accuracy in percent" in text


@pytest.mark.usefixtures("results")
def test_text() -> None:
    lines = show(study(), "text").splitlines()
    assert lines[0] == "mine"
    header, rule, first = lines[2:5]
    assert header.split("  ")[0] == "alpha"
    assert set(rule) == {"-", " "}
    at = header.index("accuracy")
    assert first[at : at + 12] == "91.00 ± 1.41"
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.usefixtures("results")
def test_csv_has_every_digit() -> None:
    first, second = csv.DictReader(io.StringIO(show(study(), "csv")))
    assert float(first["accuracy"]) == pytest.approx(91)
    assert float(first["accuracy std"]) == pytest.approx(2**0.5, abs=1e-9)
    assert (second["alpha"], second["setting"], second["seeds"]) == ("0.5", "backdoor", "1")
    assert second["accuracy std"] == ""


@pytest.mark.usefixtures("results")
def test_latex() -> None:
    lines = show(study(), "latex").splitlines()
    assert lines[1] == r"\begin{tabular}{lllllll}"
    assert lines[3].startswith("alpha & setting & accuracy & bias & backdoor accuracy")
    assert lines[5] == r"1.0 & no attack & 91.00 $\pm$ 1.41 & 20.00 $\pm$ 0.00 & - & 11.5 & 2 \\"
    assert lines[-1] == r"\end{tabular}"


@pytest.mark.usefixtures("results")
def test_json_is_strict() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    first, second = json.loads(show(study(), "json"), parse_constant=refuse)["mine"]
    assert first["accuracy"] == pytest.approx(0.91), "a fraction, as in the records"
    assert first["accuracy std"] == pytest.approx(0.0141, abs=1e-4)
    assert first["accuracy low"] < first["accuracy"] < first["accuracy high"] <= 1
    assert first["rounds"] == 11.5
    assert second["accuracy std"] is None


@pytest.mark.usefixtures("results")
def test_published_numbers_are_fractions_in_json_too() -> None:
    record = study().model_copy(update={"reference": "fashion-mnist"})
    found = json.loads(show(record, "json"))
    (title,) = found.keys() - {"mine"}
    rows = [row for row in found[title] if row["metric"] == "accuracy"]
    assert rows
    assert all(0.5 < row["paper"] < 1 for row in rows)


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("style", ["text", "markdown", "latex"])
def test_chosen_metrics(style: str) -> None:
    text = show(study(), style, ("test_loss", "bias"))
    assert "test loss" in text
    assert "accuracy" not in text
    assert "1.50" in text  # a loss is no share: (1 + 2) / 2
    assert "0.71" in text
    assert "seeds; bias in percent" in text
    with pytest.raises(ConfigError, match="unknown metric 'biass'; valid: ") as caught:
        show(study(), style, ("biass",))
    assert caught.value.hint == "did you mean 'bias'?"


def test_special_characters(results: pd.DataFrame) -> None:
    labels = ["a|b_c", "50 % & #1 {$x^2~\\}", "a|b_c"]
    results["setting"] = labels
    record = study(
        axes={"my_axis": {"variants": {label: {} for label in labels}}}, description="of 50 %\nin two lines"
    )
    results["my_axis"] = labels

    markdown = show(record, "markdown")
    assert r"a\|b_c" in markdown
    rows = [line.replace(r"\|", "") for line in markdown.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1

    latex = show(record, "latex")
    assert r"my\_axis" in latex
    assert r"a|b\_c & " in latex
    assert r"50 \% \& \#1 \{\$x\textasciicircum{}2\textasciitilde{}\textbackslash{}\}" in latex
    assert "±" not in "".join(line for line in latex.splitlines() if not line.startswith("%"))

    assert labels[1] in show(record, "text")
    assert {row["my_axis"] for row in csv.DictReader(io.StringIO(show(record, "csv")))} == set(labels)
    assert {row["my_axis"] for row in json.loads(show(record, "json"))["mine"]} == set(labels)


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("style", STYLES)
def test_the_papers_numbers_stand_beside_ours(style: str) -> None:
    assert "90.08" not in show(study(), style)
    text = show(study(reference="fashion-mnist"), style)
    if style == "json":  # in fractions
        rows = next(rows for title, rows in json.loads(text).items() if title != "mine")
        text = " ".join(f"{100 * row[key]:.2f}" for row in rows for key in ("paper", "paper_std"))
    for number in ("90.08", "0.17", "64.34", "5.12", "31.84"):
        assert number in text, f"the paper's {number}"
    if style == "markdown":
        row = next(row for row in cells(text) if row[:4] == ["I", "1", "no attack", "accuracy"])
        # 0.92 apart; the spreads together: sqrt(0.17^2 + 1.41^2) = 1.42.
        assert row[4:] == ["90.08 ± 0.17", "91.00 ± 1.41", "+0.6", "2"]
        row = next(row for row in cells(text) if row[:4] == ["II", "1", "backdoor", "accuracy"])
        assert row[4:] == ["89.87 ± 0.14", "-", "–", "0"]


@pytest.mark.usefixtures("results")
def test_a_description_of_several_lines_stays_a_comment_in_latex() -> None:
    """It is part of the comment above the paper's table."""
    latex = show(study(reference="fashion-mnist", description="one\ntwo"), "latex")
    for line in latex.splitlines():
        assert not line or line.startswith(("%", "\\")) or line.endswith(r"\\"), line


@pytest.mark.parametrize("style", STYLES)
def test_a_study_without_results(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "results_table", lambda planned, folder: pd.DataFrame())
    text = show(study(reference="fashion-mnist"), style, ("accuracy",))
    if style in ("text", "markdown"):
        assert "4 of 4 runs are not complete" in text
    assert "seeds;  in percent" not in show(study(), style), "no metric, no words about it"


@pytest.mark.usefixtures("results")
def test_only_a_study_with_the_papers_axes_has_the_papers_table() -> None:
    setting: dict[str, Any] = {"setting": {"variants": {"no attack": {}, "backdoor": {}}}}
    assert len(make_sheets(study(reference="cifar-10"), [], Path())) == 2
    assert len(make_sheets(study(), [], Path())) == 1
    assert len(make_sheets(study(reference="cifar-10", axes=setting), [], Path())) == 1


def test_the_papers_tables_have_the_papers_form(results: pd.DataFrame) -> None:
    published = published_beside(study(reference="fashion-mnist"), results)
    assert published is not None
    flat, *tables_ = paper_sheets(published)
    assert [sheet.slug for sheet in tables_] == [f"paper-table-{n}" for n in ("I", "II", "III", "IV", "V")]
    assert len(flat.rows) == 36
    assert sum(len(sheet.rows) * (len(sheet.header) - 1) // 3 for sheet in tables_) == 36
    first = tables_[0]
    assert first.header == [
        "Dirichlet alpha",
        *("accuracy, paper", "accuracy, ours", "difference"),
        *("bias, paper", "bias, ours", "difference"),
    ]
    # 24.48 ± 1.84 against 20.00 ± 0.00: -4.48 / 1.84 = -2.4.
    assert first.rows[0] == [
        *("1", "90.08 ± 0.17", "91.00 ± 1.41", "+0.6"),
        *("24.48 ± 1.84", "20.00 ± 0.00", "−2.4"),
    ]
    assert [row[0] for row in first.rows] == ["1", "0.5", "0.25"]
    three = {**study().axes, "model": {"field": "model", "values": ["mlp"]}}
    assert published_beside(study(reference="fashion-mnist", axes=three), results) is None


@pytest.mark.usefixtures("results")
def test_every_row_names_its_runs() -> None:
    (sheet,) = make_sheets(study(), PLANNED, Path())
    assert sheet.runs == (("a", "c"), ("b",))
    assert sheet.headings == 2


def test_latex_of_a_cell_that_begins_with_a_bracket() -> None:
    r"""After \\ TeX would read it as the height of a skip."""
    sheet = Sheet("s", "t", ["interval"], [["[−1.00, < 2]"]], pd.DataFrame())
    assert r"{}[$-$1.00, \textless{} 2] \\" in render(sheet, "latex").splitlines()


def test_metrics_of_one_run() -> None:
    text = metrics_text({"accuracy": 0.9008, "bias": 0.2, "test_loss": 0.31416})
    assert text.splitlines() == [
        "accuracy               90.08 %",
        "bias                   20.00 %",
        "test loss              0.3142",
    ]


def test_the_split_table_marks_adversaries_in_words() -> None:
    counts = np.array([[3, 0], [0, 4], [1, 1]])
    split = Split(("alpha 1.0",), 7, ("cat", "dog"), counts, (1,), 5, heterogeneity(counts[[0, 2]]))
    console = Console(width=100, file=io.StringIO(), no_color=True)
    console.print(split_table(split))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "seed 7; 5 samples held out for validation" in " ".join(text.split())
    rows = [line.replace("│", " ").replace("┃", " ").split() for line in text.splitlines()]
    assert ["client", "cat", "dog", "all"] in rows
    assert ["0", "3", ".", "3"] in rows
    assert ["1*", ".", "4", "4"] in rows
    assert ["all", "4", "5", "9"] in rows
    console.print(split_table(replace(split, shared=1)))
    told = "1 shared sample, counted for each holder"
    assert told not in " ".join(text.split())
    assert told in " ".join(console.file.getvalue().split())
    assert told in split_caption(replace(split, shared=1))


def test_names_in_csv_are_no_formulas() -> None:
    frame = pd.DataFrame(
        {
            "=1+1": ["-RLR", "-2.5", "plain", "@home"],
            "n": [-1.5, 2.0, float("nan"), -4.0],
            "b": [True, False] * 2,
        }
    )
    lines = as_csv(frame).splitlines()
    assert lines == ["'=1+1,n,b", "'-RLR,-1.5,True", "-2.5,2.0,False", "plain,,True", "'@home,-4.0,False"]
    assert as_csv(frame[["n"]]) == frame[["n"]].to_csv(index=False)


def test_names_in_the_split_table_are_shown_as_they_are() -> None:
    counts = np.array([[3, 0], [0, 4]])
    names = ("[/b]", "[low]")
    shown = Split(("[x]",), 7, names, counts, (), 0, heterogeneity(counts), names=("plain", "a\x1b[31m"))
    console = Console(width=100, file=io.StringIO(), no_color=True)
    console.print(split_table(shown))
    console.print(split_table(replace(shown, class_names=("[/b] of many", "[low]"))))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "[/b]" in text
    assert "0 [/b] of many, 1 [low]" in text
    assert "a\\x1b[31m" in text
    assert "\x1b[31m" not in text


# --- the best round beside the last ------------------------------------------------------------------


def rounds_of(*losses: float, **further: list[float]) -> list[RoundRecord]:
    return [
        RoundRecord(n, {"test_loss": loss, **{k: v[n - 1] for k, v in further.items()}}, [], [], [], [], {})
        for n, loss in enumerate(losses, start=1)
    ]


def best(metric: str, shown: tuple[str, ...] = ("accuracy",)) -> list[Sheet]:
    """Two cells of one run each; the second run has its lowest loss in its last round."""
    axes = {"setting": {"variants": {"a": {}, "b": {"rounds": 3}}}}
    results = pd.DataFrame(
        {"setting": ["a", "b"], "seed": [0, 0], "run": ["x", "y"], "rounds": [3, 2], "accuracy": [0.5, 0.75]}
        | {"test_loss": [2.0, 1.0], "validation_loss": [2.0, 1.0], "late": [0.1, 0.1]}
    )
    records = {
        "x": rounds_of(3.0, 1.0, 2.0, accuracy=[0.25, 0.625, 0.5], validation_loss=[1.0, math.nan, 2.0]),
        "y": rounds_of(3.0, 1.0, accuracy=[0.25, 0.75], validation_loss=[math.inf, 1.0]),
    }
    return best_sheets(study(axes=axes), results, records, metric, shown)


def test_the_best_round_beside_the_last() -> None:
    (sheet,) = best("test_loss", ("accuracy", "late"))
    assert sheet.header == ["setting", "shown", "round", "test loss", "accuracy", "seeds"]
    assert [row[:5] for row in sheet.rows] == [
        ["a", "last", "3.0", "2.00", "50.00"],
        ["a", "best", "2.0", "1.00", "62.50"],
        ["b", "last", "2.0", "1.00", "75.00"],
        ["b", "best", "2.0", "1.00", "75.00"],
    ]
    assert sheet.runs == (("x",), ("x",), ("y",), ("y",))
    assert sheet.notes[1] == "best: the first round of each run with its lowest test loss"
    assert sheet.notes[2].startswith("! test loss is measured on the test images, which so decide")
    assert sheet.numbers.columns[:5].tolist() == ["setting", "shown", "round", "seeds", "test_loss"]
    first = sheet.numbers[["shown", "round", "accuracy"]].to_numpy().tolist()[:2]
    assert first == [["last", 3.0, 50.0], ["best", 2.0, 62.5]]


def test_an_axis_that_is_called_as_a_column_of_the_best_rounds_keeps_its_labels() -> None:
    results = pd.DataFrame({"round": ["early"], "seed": [0], "run": ["x"], "rounds": [2], "test_loss": [2.0]})
    axes: dict[str, Any] = {"round": {"variants": {"early": {}}}}
    (sheet,) = best_sheets(study(axes=axes), results, {"x": rounds_of(1.0, 2.0)}, "test_loss", ())
    assert sheet.numbers[["axis round", "shown", "round"]].to_numpy().tolist() == [
        ["early", "last", 2.0],
        ["early", "best", 1.0],
    ]


def test_validation_data_may_choose_the_best_round() -> None:
    (sheet,) = best("validation_loss")
    assert [row[2] for row in sheet.rows] == ["3.0", "1.0", "2.0", "2.0"]
    assert not any(note.startswith("!") for note in sheet.notes)
    (highest,) = best("accuracy", ())
    assert highest.notes[1].endswith("with its highest accuracy")


def test_what_cannot_choose_the_best_round() -> None:
    with pytest.raises(
        ConfigError, match="unknown metric 'worst_group_accuracy'; valid: accuracy, test_loss, valid"
    ):
        best("worst_group_accuracy")
    assert best_sheets(study(), pd.DataFrame(), {}, "accuracy", ()) == []
