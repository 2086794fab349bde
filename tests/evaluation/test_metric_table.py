"""The one table of metrics: what is recorded has a row, what is shown has its unit, and the page shows the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from fedskew.evaluation.clients import held_out_metrics, personal_metrics
from fedskew.evaluation.detection import detection_metrics
from fedskew.evaluation.leakage_table import LEAKAGE
from fedskew.evaluation.metric_row import Meaning
from fedskew.evaluation.metric_table import (
    DEFAULT_METRICS,
    MAIN_METRICS,
    METRICS,
    TABLE,
    TRACE,
    meaning,
)
from fedskew.evaluation.metrics import standard_metrics
from fedskew.evaluation.updates import update_metrics
from fedskew.protocols import ClientEvaluation, ClientUpdates, Evaluation, Predictions

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_shows_the_table() -> None:
    """Every row once, in the same order and in the same words."""
    page, attacks = PAGE.read_text(encoding="utf-8").split("## Privacy attacks")
    assert list(_shown(page).items()) == [(name, _cells(row)) for name, row in TABLE.items()]
    levels = {
        name: "" if row.chance is None else f"{row.scale * row.chance:g}" for name, row in LEAKAGE.items()
    }
    expected = {name: [*_cells(row)[:2], levels[name], *_cells(row)[2:]] for name, row in LEAKAGE.items()}
    assert list(_shown(attacks).items()) == list(expected.items())


def _shown(page: str) -> dict[str, list[str]]:
    lines = re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in lines}


def _cells(row: Meaning) -> list[str]:
    better = "" if row.better == "neither" else row.better
    return ["%" if row.is_share else "", better, row.formula, row.measured]


def test_every_row_is_complete_and_has_a_label_of_its_own() -> None:
    assert all(row.formula and row.measured and row.label for row in TABLE.values())
    assert len({row.label for row in TABLE.values()}) == len(TABLE)
    assert {*DEFAULT_METRICS} <= METRICS
    assert DEFAULT_METRICS[: len(MAIN_METRICS)] == MAIN_METRICS
    assert {name for name, row in TABLE.items() if row.measured == TRACE} == {*TABLE} - METRICS


def test_what_evaluation_records_has_a_row() -> None:
    seen = Predictions(torch.tensor([0, 1, 1]), torch.ones(3))
    evaluation = Evaluation(
        torch.tensor([0, 1, 2]), seen, seen, 1, None, 0, torch.ones(2, 3, dtype=torch.int64), ("a", "b", "c"),
        groups=torch.tensor([0, 1, 1]), group_names=("old", "new"),
    )  # fmt: skip
    updates = ClientUpdates(torch.eye(3), torch.ones(3, dtype=torch.int64), torch.arange(3))
    held_out = ClientEvaluation(
        torch.tensor([0, 1, 2]), seen, torch.zeros(3, dtype=torch.int64), torch.zeros(1), ()
    )
    recorded = {*standard_metrics(evaluation), *update_metrics(updates, [2]), *held_out_metrics(held_out)}
    recorded |= detection_metrics({0: 0.5, 2: 0.5}, [2]).keys()
    recorded |= personal_metrics([0.5], [0.5], 1.0).keys()
    assert len(recorded) == 42
    assert recorded <= METRICS


def test_with_few_clients_some_metrics_are_another_one() -> None:
    pairs = {name: row.with_few for name, row in TABLE.items() if row.with_few}
    assert set(pairs) == {name for name in TABLE if name.endswith("_worst_tenth")}
    labels = torch.arange(10)
    seen = Predictions(torch.tensor([0, 1, 2, 0, 0, 5, 6, 7, 0, 0]), torch.ones(10))
    counts = 1 + torch.arange(190).reshape(19, 10) % 7
    found = dict(standard_metrics(Evaluation(labels, seen, seen, 1, None, 0, counts, tuple("abcdefghij"))))
    found |= held_out_metrics(ClientEvaluation(labels, seen, labels, torch.zeros(10), ()))
    found |= personal_metrics(seen.classes.double().tolist(), [], 1.0)
    for name, other in pairs.items():
        assert found[name] == found[other]


@pytest.mark.parametrize(
    ("name", "heading", "value", "difference"),
    [
        ("backdoor_accuracy", "backdoor accuracy [%]", "12.50 %", "percentage points"),
        ("test_loss", "test loss", "0.1250", ""),
        ("share_of_zero", "share of zero", "0.1250", ""),  # a plug-in's: its name, and no unit
        ("observed_norm", "observed norm", "0.1250", ""),
    ],
)
def test_how_a_number_is_shown(name: str, heading: str, value: str, difference: str) -> None:
    row = meaning(name)
    assert row.heading == heading
    assert row.text(0.125) + row.suffix == value
    assert row.of_a_difference == difference


def test_directions() -> None:
    better = {name: row.better for name, row in TABLE.items()}
    assert {"lifespan", "epsilon", *(name for name in better if name.endswith("loss"))} == {
        name for name in better if better[name] == "lower" and not TABLE[name].is_share
    }
    for name in (
        "accuracy",
        "held_out_accuracy_worst",
        "detection_true_positive_rate",
        "equal_weight_honest",
        "class_accuracy_jain",
        "worst_group_accuracy",
    ):
        assert better[name] == "higher"
    for name in (
        "bias",
        "backdoor_accuracy",
        "weight_malicious",
        "down_weighted_honest",
        "group_accuracy_gap",
        "demographic_parity_difference",
        "equalized_odds_difference",
    ):
        assert better[name] == "lower"
    assert better["clean_trigger_rate"] == "neither"
