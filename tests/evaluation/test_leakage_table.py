"""The table of what privacy attacks find: a number keeps its row under the name of any attack."""

from __future__ import annotations

import pytest

from fedskew.evaluation.leakage_table import LEAKAGE, leading, leakage_names, leakage_row
from fedskew.evaluation.metric_table import TABLE, meaning, usual_metrics


@pytest.mark.parametrize("end", LEAKAGE)
def test_a_privacy_attacks_number_keeps_its_row(end: str) -> None:
    """Under the name of any attack: unit, direction, chance, and bounds that chance lies in."""
    name, row = f"my_attack_{end}", LEAKAGE[end]
    assert leakage_row(name) == end
    shown = meaning(name)
    assert (shown.unit, shown.better, shown.chance) == (row.unit, row.better, row.chance)
    assert shown.chance_metric == (f"my_attack_{row.chance_metric}" if row.chance_metric else "")
    assert row.chance is None or not row.chance_metric
    assert shown.label == f"my attack: {row.label}"
    low, high = shown.bounds
    assert row.chance is None or low <= row.scale * row.chance <= high
    assert name in leakage_names("my-attack")


def test_a_label_does_not_name_its_attack_twice() -> None:
    assert meaning("source_inference_source_advantage").label == "source inference advantage"
    assert meaning("delta_loss_auc").label == "delta loss: membership AUC, matched"


def test_one_number_stands_for_each_privacy_attack() -> None:
    names = ["test_loss", "bias", "accuracy", *sorted(leakage_names("x")), "own"]
    assert leading(names) == ["x_auc", "x_label_error", "x_property_auc", "x_source_advantage"]
    assert usual_metrics(["y_auc_pooled", "y_auc", "bias", "accuracy"]) == ["accuracy", "bias", "y_auc"]
    assert leakage_row("auc") is leakage_row("own") is None


def test_no_standard_metric_is_taken_for_a_privacy_attacks() -> None:
    assert [name for name in TABLE if leakage_row(name) is not None] == []
