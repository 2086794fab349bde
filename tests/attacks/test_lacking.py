"""Attacks that can do nothing are refused when the config is read."""

from __future__ import annotations

from typing import Any

import pytest

from fedskew.components.binding import check_experiment, complete_experiment
from fedskew.config import Experiment
from fedskew.errors import ConfigError


def experiment(attack: Any, adversaries: int = 1, count: int = 10, fraction: float = 1.0) -> Experiment:
    return Experiment(
        attack=attack,
        adversaries={"count": adversaries},
        clients={"count": count, "fraction": fraction},
    )


def refused(attack: Any, *numbers: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        complete_experiment(experiment(attack, *numbers))
    assert caught.value.field == "attack"
    assert "\n" not in caught.value.message
    return caught.value.message


def test_alie_whose_formula_gives_no_z() -> None:
    assert refused("alie") == (
        "attack: 'alie' would send the mean of the honest updates, which does no harm: for 1 adversary and 10 clients "
        "in a round its formula gives z = -0.14, and z must be above 0; z = ... can be given, for example z = 1.5"
    )
    assert "for 2 adversaries and 40 clients in a round its formula gives z = 0, and" in refused(
        "alie", 2, 40
    )
    assert "needs two of the honest updates" in refused("alie", 1, 20, 0.1)
    for adversaries in (3, 5, 8):
        complete_experiment(experiment("alie", adversaries))
    complete_experiment(experiment({"name": "alie", "z": 1.5}))
    complete_experiment(experiment("alie", 0))  # a clean run of the same study


def test_alie_in_a_sampled_cohort_is_refused_only_if_no_round_has_a_z() -> None:
    assert "for 2 adversaries and 10 clients" in refused("alie", 2, 100, 0.1)
    complete_experiment(experiment("alie", 3, 100, 0.1))
    complete_experiment(experiment("alie", 50, 100, 0.1))


@pytest.mark.parametrize("z", [0, -1.0])
def test_alie_with_a_given_z_that_is_not_above_0(z: float) -> None:
    with pytest.raises(ConfigError) as caught:
        check_experiment(experiment({"name": "alie", "z": z}))
    assert caught.value.message == f"attack.z = {z}: input should be greater than 0"
    assert caught.value.field == "attack.z"


def test_alie_that_does_not_see_how_many_there_are_needs_z() -> None:
    own = {"name": "alie", "threat_model": "own-updates"}
    assert refused(own, 3) == (
        "attack: 'alie' needs z with threat_model = 'own-updates': without the number of clients there is no formula "
        "for it"
    )
    complete_experiment(experiment({**own, "z": 1.0}, 3))


@pytest.mark.parametrize("name", ["alie", "min-max", "min-sum", "fang-trim"])
def test_one_update_has_no_spread(name: str) -> None:
    attack = {"name": name, "threat_model": "own-updates", **({"z": 1.0} if name == "alie" else {})}
    assert refused(attack) == (
        f"attack: {name!r} needs two of the adversaries' own updates in a round to see how far they spread, and with "
        "10 clients in a round and 1 adversary in the run there is one"
    )
    complete_experiment(experiment(attack, 2))


@pytest.mark.parametrize("name", ["alie", "opt-alie", "min-max", "min-sum"])
def test_one_honest_update_has_no_spread(name: str) -> None:
    attack = {"name": name, **({"z": 1.0} if name == "alie" else {})}
    assert "needs two of the honest updates in a round" in refused(attack, 1, 2)
    assert refused(attack, 9) == (
        f"attack: {name!r} needs two of the honest updates in a round to see how far they spread, and with 10 clients "
        "in a round and 9 adversaries in the run there is one"
    )
    assert "with 5 of 10 clients in a round and 9 adversaries in the run there is one" in refused(
        attack, 9, 10, 0.5
    )
    complete_experiment(experiment(attack, 1, 3))
    complete_experiment(experiment(attack, 8))
    complete_experiment(experiment(attack, 8, 10, 0.3))  # a round of two honest clients and one adversary
    complete_experiment(experiment("fang-trim", 1, 2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"map": "pair"}, "needs source and target with map = 'pair'"),
        ({"map": "pair", "target": 1}, "needs source and target with map = 'pair'"),
        ({"map": "pair", "source": 1, "target": 1}, "flips nothing: its source and its target are both 1"),
        ({"source": 1}, "takes no source with map = 'reverse', only with map = 'pair'"),
        ({"map": "random", "target": 0}, "takes no target with map = 'random', only with map = 'pair'"),
    ],
)
def test_label_flips_without_the_classes_of_their_map(options: dict[str, Any], words: str) -> None:
    assert refused({"name": "label-flip", **options}) == f"attack: 'label-flip' {words}"


def test_malformed_options_are_left_to_the_check_of_the_options() -> None:
    with pytest.raises(ConfigError, match=r"attack\.map = 'sideways'"):
        check_experiment(experiment({"name": "label-flip", "map": "sideways"}))
    with pytest.raises(ConfigError, match=r"attack\.threat_model"):
        check_experiment(experiment({"name": "min-max", "threat_model": "none"}))
