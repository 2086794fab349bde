"""A run on data with groups: what is measured, recorded and read again; and that groups change nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

import fedskew
from fedskew.datasets.digits import digits
from fedskew.errors import ConfigError
from fedskew.evaluation.metric_table import TABLE
from fedskew.federation.records import as_kept, record_from_json, record_to_json
from fedskew.protocols import ClientEvaluation, Dataset, Evaluation, RoundRecord

BASE: dict[str, Any] = {
    "data": "digits",
    "model": {"name": "mlp", "hidden": [16]},
    "clients": {"count": 4},
    "split": {"name": "dirichlet", "alpha": 1.0},
    "training": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}},
    "stopping": "rounds",
    "rounds": 2,
}
GROUP_METRICS = {name for name, row in TABLE.items() if row.measured == TABLE["group_accuracy_gap"].measured}


def grouped() -> Dataset:
    """The digits; every seventh image, and no other, is of the group "rare"."""
    data = digits()
    return replace(
        data,
        info=replace(data.info, group_names=("usual", "rare", "missing")),
        groups_train=(torch.arange(len(data.y_train)) % 7 == 0).long(),
        groups_test=(torch.arange(len(data.y_test)) % 7 == 0).long(),
    )


def run(dataset: Dataset, **changes: Any) -> list[RoundRecord]:
    return list(fedskew.simulate(fedskew.Experiment.model_validate(BASE | changes), dataset=dataset))


def test_groups_are_measured_and_change_nothing_else() -> None:
    with_groups, without = run(grouped()), run(digits())
    assert len(GROUP_METRICS) == 4
    for one, other in zip(with_groups, without, strict=True):
        assert one.metrics.keys() - other.metrics.keys() == GROUP_METRICS
        kept = {name: value for name, value in one.metrics.items() if name not in GROUP_METRICS}
        assert replace(one, metrics=kept, per_group_accuracy={}) == other
        assert "per_group_accuracy" not in record_to_json(other)
        usual, rare = one.per_group_accuracy["usual"], one.per_group_accuracy["rare"]
        rate = (52 * rare + 308 * usual) / 360  # 0, 7, ..., 357 of 360 test images are rare
        assert rate == pytest.approx(one.metrics["accuracy"])
        assert one.metrics["worst_group_accuracy"] == min(usual, rare)
        assert one.metrics["group_accuracy_gap"] == abs(usual - rare)


def test_group_accuracies_come_back_from_the_record() -> None:
    record = run(grouped())[-1]
    written = record_to_json(record)
    assert written["per_group_accuracy"]["missing"] is None
    again = record_from_json(json.loads(json.dumps(written)))
    assert again.per_group_accuracy.keys() == {"usual", "rare", "missing"}
    assert record_to_json(again) == written == record_to_json(as_kept(record))
    with pytest.raises(fedskew.FedskewError, match="not a round's record"):
        record_from_json(written | {"per_group_accuracy": [0.5]})


def test_under_a_trigger_the_groups_are_those_of_the_images_as_they_are() -> None:
    attacked = {"adversaries": {"count": 1}, "attack": {"name": "backdoor", "target": 7}}
    record = run(grouped(), **attacked)[-1]
    usual, rare = record.per_group_accuracy["usual"], record.per_group_accuracy["rare"]
    assert (52 * rare + 308 * usual) / 360 == pytest.approx(record.metrics["accuracy"])


def test_metrics_of_your_own_see_the_groups() -> None:
    def rare_share(evaluation: Evaluation) -> Mapping[str, float]:
        assert evaluation.groups is not None
        share = float((evaluation.groups == evaluation.group_names.index("rare")).double().mean())
        evaluation.groups.zero_()  # a copy of its own
        return {"rare_share": share}

    def rare_held_out(evaluation: ClientEvaluation) -> Mapping[str, float]:
        assert evaluation.groups is not None
        assert len(evaluation.groups) == len(evaluation.labels)
        return {"rare_held_out": float((evaluation.groups == 1).double().mean())}

    settings = {"metrics": [rare_share], "client_metrics": [rare_held_out]}
    records = run(grouped(), clients={"count": 4, "held_out": 0.5}, evaluation=settings)
    assert [record.metrics["rare_share"] for record in records] == [52 / 360] * 2
    assert records[-1].metrics["rare_held_out"] == pytest.approx(1 / 7, abs=0.05)


def test_a_metric_of_your_own_cannot_take_the_name_of_a_group_metric() -> None:
    def mine(evaluation: Evaluation) -> Mapping[str, float]:
        return {"group_accuracy_gap": 0.0}

    with pytest.raises(ConfigError, match="group_accuracy_gap"):
        run(digits(), evaluation={"metrics": [mine]})


def test_data_whose_groups_do_not_fit_is_refused_before_the_first_round() -> None:
    wrong = replace(grouped(), groups_test=torch.full((360,), 3))
    with pytest.raises(ConfigError, match="groups_test has groups from 3 to 3; expected 0 to 2"):
        run(wrong)
