"""From run folders to means and standard deviations, worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import t as student_t

from fedskew.analysis import results_table, summary_table
from fedskew.config import to_plain
from fedskew.config.toml_io import write_toml
from fedskew.errors import RunError
from fedskew.papers.ozdayi_kantarcioglu import beside_paper, paper_numbers
from fedskew.runs.folder import RunFolder
from fedskew.study.grid import PlannedRun, Study, planned_runs
from helpers import put_records

STUDY = Study.model_validate(
    {
        "name": "s",
        "seeds": [0, 1, 2],
        "base": {"rounds": 2},
        "axes": {
            "alpha": {"field": "server.learning_rate", "values": [1.0, 0.5]},
            "setting": {"variants": {"no attack": {}, "backdoor": {"adversaries.count": 1}}},
        },
    }
)
PLANNED = planned_runs(STUDY)


def finish(folder: Path, plan: PlannedRun, rounds: int, **metrics: float | None) -> None:
    """A complete run, as ``runs.execute`` leaves it."""
    path = folder / "runs" / plan.identity
    path.mkdir(parents=True)
    last: dict[str, Any] = {
        "round": rounds,
        "metrics": metrics,
        "per_class_accuracy": [0.5, None],
        "cohort": [0],
        "rejected": [],
        "empty": [],
        "trace": {},
    }
    (path / "config.toml").write_text(write_toml(to_plain(plan.experiment)), encoding="utf-8")
    (path / "result.json").write_text(json.dumps({"stopped": "enough", "skew": {"total_variation": 0.25}}))
    put_records(path, [last | {"round": number} for number in range(1, rounds + 1)])


def test_results_have_one_row_per_complete_run(tmp_path: Path) -> None:
    assert results_table(PLANNED, tmp_path).empty
    finish(tmp_path, PLANNED[0], 3, accuracy=0.5, bias=0.25)
    finish(tmp_path, PLANNED[5], 5, accuracy=0.75, bias=None, backdoor_accuracy=0.125)
    (tmp_path / "runs" / PLANNED[1].identity).mkdir()  # begun
    table = results_table(PLANNED, tmp_path)
    assert len(table) == 2
    first, second = table.to_dict("records")
    assert (first["alpha"], first["setting"], first["seed"]) == (1.0, "no attack", 0)
    assert (second["alpha"], second["setting"], second["seed"]) == (1.0, "backdoor", 1)
    assert first["run"] == PLANNED[0].identity
    assert (first["rounds"], first["stopped"], first["accuracy"]) == (3, "enough", 0.5)
    assert first["skew_total_variation"] == 0.25
    assert math.isnan(first["backdoor_accuracy"])
    assert math.isnan(second["bias"])


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    finish(tmp_path, PLANNED[0], 3)
    path = tmp_path / "runs" / PLANNED[0].identity
    (path / "result.json").write_text("{")
    with pytest.raises(RunError, match=r"result\.json is damaged") as caught:
        RunFolder(path).read_result()
    assert str(path) in (caught.value.hint or "")


def frame(**columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_mean_and_sample_standard_deviation_by_hand() -> None:
    results = frame(
        alpha=[1.0, 1.0, 1.0, 0.5],
        setting=["no attack"] * 4,
        seed=[0, 1, 2, 0],
        rounds=[2, 4, 6, 7],
        accuracy=[0.80, 0.82, 0.87, 0.5],
        test_loss=[1.0, 2.0, 3.0, 4.0],
    )
    table = summary_table(results, STUDY, ["accuracy", "test_loss"])
    assert list(table.columns) == [
        "alpha",
        "setting",
        "seeds",
        "rounds",
        "accuracy",
        "accuracy std",
        "accuracy low",
        "accuracy high",
        "test_loss",
        "test_loss std",
        "test_loss low",
        "test_loss high",
    ]
    first, second = table.to_dict("records")
    assert (first["seeds"], first["rounds"]) == (3, 4.0)
    # Mean 83; deviations -3, -1, 4; (9 + 1 + 16) / (3 - 1) = 13.
    assert first["accuracy"] == pytest.approx(83)
    assert first["accuracy std"] == pytest.approx(math.sqrt(13))
    # Student's t for 95 % with 2 degrees of freedom is 4.302653 in any table.
    assert first["accuracy low"] == pytest.approx(83 - 4.302653 * math.sqrt(13 / 3), abs=1e-5)
    assert first["accuracy high"] == pytest.approx(83 + 4.302653 * math.sqrt(13 / 3), abs=1e-5)
    assert (first["test_loss"], first["test_loss std"]) == (2.0, 1.0)  # no percent
    assert (second["seeds"], second["accuracy"]) == (1, 50.0)
    assert all(math.isnan(second[f"accuracy {name}"]) for name in ("std", "low", "high"))


def test_a_metric_that_some_runs_lack() -> None:
    results = frame(
        alpha=[1.0, 1.0],
        setting=["no attack", "no attack"],
        rounds=[1, 1],
        bias=[0.5, math.nan],
        accuracy=[math.nan, math.nan],
    )
    (row,) = summary_table(results, STUDY, ["bias", "accuracy", "nothing"]).to_dict("records")
    assert row["bias"] == 50.0
    assert math.isnan(row["bias std"])
    assert math.isnan(row["accuracy"])
    assert math.isnan(row["nothing"])


def test_no_results_and_no_axes() -> None:
    assert summary_table(pd.DataFrame(), STUDY, ["accuracy"]).empty
    plain = Study(name="plain")
    (row,) = summary_table(frame(rounds=[1, 3], accuracy=[0.25, 0.75]), plain, ["accuracy"]).to_dict(
        "records"
    )
    assert (row["seeds"], row["rounds"], row["accuracy"]) == (2, 2.0, 50.0)
    assert row["accuracy std"] == pytest.approx(100 * math.sqrt(0.125))


def test_cells_come_in_the_order_of_the_study(tmp_path: Path) -> None:
    """Also where the first cell's first seed has failed."""
    for plan in PLANNED[1:]:
        finish(tmp_path, plan, 2, accuracy=0.5)
    table = summary_table(results_table(PLANNED, tmp_path), STUDY, ["accuracy"])
    assert list(zip(table["alpha"], table["setting"], strict=True)) == [
        (1.0, "no attack"),
        (1.0, "backdoor"),
        (0.5, "no attack"),
        (0.5, "backdoor"),
    ]
    assert list(table["seeds"]) == [2, 3, 3, 3]


def test_cells_that_share_a_run_both_show_it(tmp_path: Path) -> None:
    twins = Study.model_validate({"name": "t", "axes": {"twin": {"variants": {"a": {}, "b": {}}}}})
    planned = planned_runs(twins)
    finish(tmp_path, planned[0], 2, accuracy=0.5)
    table = summary_table(results_table(planned, tmp_path), twins, ["accuracy"])
    assert list(table["twin"]) == ["a", "b"]
    assert list(table["accuracy"]) == [50.0, 50.0]


def test_the_papers_numbers() -> None:
    numbers = paper_numbers()
    assert len(numbers) == 72
    assert list(numbers.columns) == ["table", "dataset", "alpha", "setting", "metric", "mean", "std"]
    (row,) = numbers.query(
        "table == 'II' and dataset == 'fashion-mnist' and alpha == 1.0 and metric == 'backdoor_accuracy'"
    ).to_dict("records")
    assert (row["mean"], row["std"]) == (64.34, 5.12)
    assert numbers.groupby(["table", "dataset"]).size().tolist() == [6] * 6 + [9] * 4


def test_the_papers_numbers_beside_ours() -> None:
    results = frame(
        alpha=[1.0, 1.0], setting=["no attack"] * 2, rounds=[70, 80], accuracy=[0.9, 0.91], bias=[0.25, 0.27]
    )
    summary = summary_table(results, STUDY, ["accuracy", "bias", "backdoor_accuracy"])
    compared = beside_paper(summary, "fashion-mnist")
    assert len(compared) == 36
    first = compared.iloc[0]
    assert (first["table"], first["alpha"], first["setting"], first["metric"]) == (
        "I",
        1.0,
        "no attack",
        "accuracy",
    )
    assert (first["paper"], first["paper_std"]) == (90.08, 0.17)
    assert first["ours"] == pytest.approx(90.5)
    assert first["ours_std"] == pytest.approx(math.sqrt(0.5))
    assert first["seeds"] == 2
    assert first["z"] == pytest.approx((90.5 - 90.08) / math.sqrt(0.5 + 0.17**2))
    missing = compared[compared["setting"] == "backdoor"]
    assert missing[["ours", "z"]].isna().all(axis=None)
    assert (missing["seeds"] == 0).all()
    one = summary_table(results.head(1), STUDY, ["accuracy", "bias", "backdoor_accuracy"])
    assert beside_paper(one, "fashion-mnist")["z"].isna().all(), "one seed has no standard deviation"
    assert beside_paper(summary_table(pd.DataFrame(), STUDY, ["accuracy"]), "cifar-10")["ours"].isna().all()


def test_the_papers_means_are_tested_against_ours() -> None:
    """By hand: t = (89.9 - 90.08) / sqrt(0.16/3 + 0.17^2/5), degrees of freedom by Welch and Satterthwaite."""
    ours = [89.5, 89.9, 90.3]  # variance 0.16
    results = frame(
        alpha=[1.0] * 3,
        setting=["no attack"] * 3,
        rounds=[70] * 3,
        accuracy=[x / 100 for x in ours],
        bias=[0.1, 0.2, 0.3],
    )
    compared = beside_paper(
        summary_table(results, STUDY, ["accuracy", "bias", "backdoor_accuracy"]), "fashion-mnist"
    )
    row = compared.iloc[0]
    a, b = 0.16 / 3, 0.17**2 / 5
    t = (89.9 - 90.08) / math.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / 2 + b**2 / 4)
    assert row["p_value"] == pytest.approx(2 * student_t.sf(abs(t), freedom))
    # Two entries are known: Holm doubles the smaller p-value and leaves the larger, unless it is below that.
    known = compared[compared["p_value"].notna()]
    assert list(known["metric"]) == ["accuracy", "bias"]
    smaller, larger = sorted(known["p_value"])
    assert sorted(known["p_holm"]) == pytest.approx(
        sorted([min(1, 2 * smaller), max(larger, min(1, 2 * smaller))])
    )


def test_an_entry_of_two_tables_counts_once_in_the_correction() -> None:
    results = frame(
        alpha=[1.0] * 3,
        setting=["backdoor"] * 3,
        rounds=[70] * 3,
        accuracy=[0.7, 0.71, 0.72],
        bias=[0.29, 0.3, 0.31],
        backdoor_accuracy=[0.60, 0.65, 0.70],
    )
    compared = beside_paper(
        summary_table(results, STUDY, ["accuracy", "bias", "backdoor_accuracy"]), "fashion-mnist"
    )
    known = compared[compared["p_value"].notna()]
    assert list(known["table"]) == ["II", "II", "IV", "IV", "IV"]
    accuracy = known[known["metric"] == "accuracy"]
    assert accuracy["p_holm"].tolist() == pytest.approx(3 * accuracy["p_value"]), "three entries, not five"
