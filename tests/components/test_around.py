"""Attacks that change how another one's adversaries train, around attacks whose adversaries send nothing of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import fedskew
from fedskew.components.binding import check_experiment, complete_experiment
from fedskew.components.facts import facts
from fedskew.components.known import facts_of, options_of
from fedskew.components.row import always
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Experiment
from fedskew.errors import ConfigError
from fedskew.protocols import Attack, DatasetInfo

OWN: dict[str, Any] = {"threat_model": "own-updates"}
BY_HONEST: list[dict[str, Any]] = [
    {"name": "ipm", "eps": 2.0},
    {"name": "alie", "z": 1.5},
    {"name": "min-max"},
    {"name": "min-sum"},
    {"name": "fang-trim"},
    {"name": "mimic"},
    {"name": "opt-ipm"},
    {"name": "opt-alie"},
    {"name": "free-rider"},
    {"name": "gaussian", "threat_model": "all-updates"},
]
BY_OWN: list[dict[str, Any]] = [
    {"name": "none"},
    {"name": "sign-flip"},
    {"name": "gradient-ascent"},
    {"name": "label-flip"},
    {"name": "backdoor", "target": 7},
    {"name": "dba", "target": 7, "parts": 2},
    {"name": "edge-case", "source": 1, "target": 7},
    {"name": "unfairness"},
    {"name": "alie", "z": 1.5, **OWN},
    {"name": "min-max", **OWN},
    {"name": "min-sum", **OWN},
    {"name": "fang-trim", **OWN},
    {"name": "gaussian"},
]
AROUND: list[dict[str, Any]] = [
    {"name": "pgd", "radius": 0.1},
    {"name": "neurotoxin"},
    {"name": "constrain-and-scale", "alpha": 0.5, "factor": 3.0},
]


def ids(attack: dict[str, Any]) -> str:
    return " ".join(map(str, attack.values()))


def experiment(attack: dict[str, Any], adversaries: int = 3) -> Experiment:
    return Experiment(attack=attack, adversaries={"count": adversaries}, clients={"count": 10})


def refused(attack: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        complete_experiment(experiment(attack))
    return caught.value


def sent(attack: dict[str, Any], own: Tensor) -> Tensor:
    return fedskew.craft(attack, [[1.0, 2.0], [3.0, -1.0], [2.0, 2.0]], own=own)


@pytest.mark.parametrize("attack", [*BY_HONEST, *BY_OWN], ids=ids)
def test_the_fact_says_whether_their_training_shows_in_what_they_send(attack: dict[str, Any]) -> None:
    one, other = torch.tensor([[1.0, 0.5], [0.0, 1.0]]), torch.tensor([[3.0, -2.0], [1.0, 4.0]])
    named = Component.model_validate(attack)
    untrained = facts_of("attack", named).untrained
    said = untrained is not None and untrained(options_of("attack", named))
    assert said is torch.equal(sent(attack, one), sent(attack, other)) is (attack in BY_HONEST)


def test_every_attack_that_is_not_around_another_is_in_these_lists() -> None:
    alone = {name for name, row in BUILT_IN["attack"].items() if row.facts.wraps is None}
    assert alone == {attack["name"] for attack in (*BY_HONEST, *BY_OWN)}


@pytest.mark.parametrize("around", AROUND, ids=ids)
def test_what_nobody_sends_need_not_be_trained_otherwise(around: dict[str, Any]) -> None:
    for attack in BY_HONEST:
        error = refused({**around, "of": attack})
        assert error.message == (
            f"attack: '{around['name']}' changes how the adversaries train, and those of '{attack['name']}' send "
            "nothing of their own training"
        )
        assert error.field == "attack"
        assert error.hint == (
            f"use '{around['name']}' around an attack whose adversaries send what they trained, such as 'backdoor', "
            f"or '{attack['name']}' without it"
        )
    complete_experiment(experiment({**around, "of": BY_HONEST[0]}, 0))  # a clean run of the same study


@pytest.mark.parametrize("around", AROUND, ids=ids)
def test_around_all_others_it_is_taken(around: dict[str, Any]) -> None:
    for attack in BY_OWN:
        complete_experiment(experiment({**around, "of": attack}))


def test_it_is_found_at_any_depth() -> None:
    scaled = {"name": "model-replacement", "factor": 2.0, "of": {"name": "ipm", "eps": 2.0}}
    complete_experiment(experiment(scaled))
    error = refused({"name": "n-k-inflation", "factor": 2.0, "of": {**AROUND[0], "of": scaled}})
    assert error.message.startswith(
        "attack.of: 'pgd' changes how the adversaries train, and those of 'ipm' send"
    )
    assert error.field == "attack.of"


def test_a_setting_that_changes_no_training_is_taken() -> None:
    for around in (
        {"name": "neurotoxin", "share": 0},
        {"name": "constrain-and-scale", "alpha": 1, "factor": 3.0},
    ):
        complete_experiment(experiment({**around, "of": BY_HONEST[0]}))
    factor = {"name": "constrain-and-scale", "alpha": 1, "factor": 3.0, "of": BY_HONEST[0]}
    assert torch.equal(sent(factor, torch.zeros(1, 2)), 3 * sent(BY_HONEST[0], torch.zeros(1, 2)))


@facts(untrained=always)
def nothing_of_it(info: DatasetInfo) -> Attack:
    return Attack(craft=lambda deltas, view, rng: 0 * deltas)


def test_a_plug_in_may_say_it_of_itself() -> None:
    check_experiment(experiment({"name": "pgd", "radius": 0.1, "of": {"name": "sign-flip"}}))
    with pytest.raises(ConfigError, match="nothing_of_it' send nothing of their own training"):
        check_experiment(experiment({"name": "pgd", "radius": 0.1, "of": {"name": nothing_of_it}}))
