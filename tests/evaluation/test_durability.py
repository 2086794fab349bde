"""The lifespan of a backdoor: from rates, and in a run."""

from __future__ import annotations

from typing import Any

import pytest

from fedskew.config import Experiment
from fedskew.evaluation.durability import lifespan
from fedskew.protocols import RoundRecord
from fedskew.simulation import simulate


def record(number: int, metrics: dict[str, float]) -> RoundRecord:
    return RoundRecord(number, metrics, [], [], [], [], {})


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([0.9, 0.9, 0.8, 0.5, 0.49, 0.9], [None, None, 1, 2, 2, 2]),
        ([0.9, 0.9, 0.4, 0.9], [None, None, 0, 0]),
        ([0.1, 0.1, 0.9, 0.9], [None, None, 1, 2]),
        ([0.9, 0.9, float("nan"), 0.9], [None, None, 0, 0]),
        (
            [0.9, 0.9, 0.9, 0.9, 0.9],
            [None, None, 1, 2, 3],
        ),  # cut off: the rounds after the stop, a lower bound
    ],
)
def test_rounds_after_the_stop_before_the_first_below_half(
    rates: list[float], expected: list[float | None]
) -> None:
    metrics = [{"attack_success_rate": rate} for rate in rates]
    records = [record(number, found) for number, found in enumerate(metrics, 1)]
    found = [lifespan(records[:n], metrics[n], 2).get("lifespan") for n in range(len(rates))]
    assert found == expected


def test_without_a_stop_or_a_rate_there_is_none() -> None:
    assert lifespan([], {"attack_success_rate": 0.9}, None) == {}
    assert lifespan([record(1, {})], {"accuracy": 0.9}, 1) == {}


def run(**adversaries: Any) -> list[dict[str, float]]:
    experiment = Experiment.model_validate(
        {
            "rounds": 6,
            "data": "digits",
            "clients": {"count": 4},
            "adversaries": adversaries,
            "attack": {"name": "backdoor", "target": 7, "epochs": 5},
            "model": {"name": "mlp", "hidden": [16]},
            "training": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.1}},
        }
    )
    return [found.metrics for found in simulate(experiment)]


def test_a_run_records_it_after_the_stop() -> None:
    found = run(count=2, stop=3)
    assert ["lifespan" in one for one in found] == [False] * 3 + [True] * 3
    rates = [one["attack_success_rate"] for one in found[3:]]
    alive = next((n for n, rate in enumerate(rates) if rate < 0.5), len(rates))
    assert found[-1]["lifespan"] == alive
    assert alive > 0  # so that the test sees one that lives


def test_neither_without_a_stop_nor_without_adversaries() -> None:
    assert not any("lifespan" in one for one in [*run(count=2), *run(count=0, stop=3)])
