"""Runs under secure aggregation: the same numbers, less that is seen."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.world import build_world
from fedskew.protocols import Guess, Observation, PrivacyAttack, PrivacyView, RoundRecord, State
from fedskew.simulation import simulate


def experiment(secure: bool, **changes: Any) -> Experiment:
    plain = {
        "data": "digits",
        "rounds": 3,
        "clients": {"count": 5, "held_out": 0.3},
        "split": {"name": "quantity", "alpha": 1.0},
        "training": {"epochs": 1, "batch_size": 32, "objective": "scaffold"},
        "defence": {
            "transforms": [{"name": "clip", "norm": 0.5}],
            "aggregator": {"name": "term", "t": 1.0},
            "learning_rate": {"name": "rlr", "theta": 2},
        },
        "adversaries": {"count": 1},
        "attack": {"name": "backdoor", "target": 7},
        "privacy": {"attacks": ["aggregate-loss", "loss-threshold"], "every": 1},
        "server": {"secure_aggregation": secure},
    }
    return Experiment.model_validate({**plain, **changes})


def records(config: Experiment) -> list[RoundRecord]:
    return list(simulate(config))


def test_the_numbers_are_the_same_and_nobody_is_weighed() -> None:
    with_it, without = records(experiment(True)), records(experiment(False))
    for mine, plain in zip(with_it, without, strict=True):
        assert plain.client_weights
        assert not mine.client_weights
        detected = {name for name in plain.metrics if name not in mine.metrics}
        assert detected == {f"detection_{kind}_positive_rate" for kind in ("true", "false")} | {
            *(f"down_weighted_{who}" for who in ("honest", "malicious")),
            *("equal_weight_honest", "weight_malicious"),
        }
        assert mine.metrics == {n: v for n, v in plain.metrics.items() if n not in detected}
        assert mine.trace == plain.trace
    assert "aggregate_loss_auc" in with_it[-1].metrics


def test_the_seat_of_the_aggregate_sees_no_update_and_no_number_of_examples() -> None:
    seen: list[Observation] = []

    def nosy() -> PrivacyAttack:
        def observe(observation: Observation, view: PrivacyView, state: State) -> State:
            seen.append(observation)
            return state

        def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
            return Guess(view.losses(final, view.records, view.labels))

        return PrivacyAttack("aggregate", "membership", guess, observe)

    for secure in (False, True):
        records(experiment(secure, privacy={"attacks": [{"name": nosy}], "every": 1}, rounds=1))
    for observation in seen:
        assert observation.updates is None
        assert observation.delta is not None
    assert len(seen) == 2
    assert not {field.name for field in fields(PrivacyView)} & {"num_examples", "client_ids"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"privacy": {"attacks": ["source-inference"]}}, "privacy.attacks[0]"),
        ({"evaluation": {"observers": ["update-norms"]}}, "evaluation.observers[0]"),
    ],
)
def test_who_would_see_updates_is_refused_when_the_world_is_built(
    changes: dict[str, Any], field: str
) -> None:
    build_world(completed(experiment(False, **changes)), Execution())
    with pytest.raises(ConfigError, match='has the seat "server"') as caught:
        build_world(completed(experiment(True, **changes)), Execution())
    assert caught.value.field == field


def test_the_sum_of_one_update_is_not_taken() -> None:
    """Two of three clients take part in each round, and one of the three has no data."""

    def lopsided(labels: Any, num_clients: int, rng: Any) -> list[Any]:
        return [*np.array_split(np.arange(len(labels)), num_clients - 1), np.arange(0)]

    def losses(secure: bool) -> tuple[list[float], list[int]]:
        found = records(
            Experiment.model_validate(
                {
                    "data": "digits",
                    "rounds": 8,
                    "clients": {"count": 3, "fraction": 0.67},
                    "split": lopsided,
                    "server": {"secure_aggregation": secure},
                }
            )
        )
        return [one.metrics["test_loss"] for one in found], [len(one.arrived) for one in found]

    secured, senders = losses(True)
    alone = [number for number in range(1, 8) if senders[number] == 1]
    assert alone
    assert all(secured[number] == secured[number - 1] for number in alone)
    plain, _ = losses(False)
    assert all(plain[number] != plain[number - 1] for number in alone)
