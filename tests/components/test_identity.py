"""The name of a run: the same for the same experiment however it is written, different for any other."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Any, get_args

import pytest

from fedskew.components.binding import complete_experiment
from fedskew.components.completed import completed
from fedskew.components.identity import OLDEST, VERSION, identity, rounds_identity
from fedskew.config import Component, Data, Experiment, to_plain
from fedskew.errors import ConfigError
from fedskew.study.grid import Study

NO_TRANSFORMS: dict[str, Any] = {"transforms": []}
FIXED: dict[str, Any] = {
    "seed": 3,
    "rounds": 60,
    "data": "fashion-mnist",
    "model": "lenet",
    "split": {"name": "dirichlet", "alpha": 0.5, "remainder": "first"},
    "clients": {"count": 20, "fraction": 0.5},
    "adversaries": {"count": 2, "data": "sample", "fraction": 0.1},
    "attack": {"name": "backdoor", "target": "Sneaker", "poison_fraction": 0.5, "trigger": "plus"},
    "training": {
        "epochs": 2,
        "batch_size": 256,
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "state": "persist"},
    },
    "defence": {
        "transforms": [{"name": "clip", "norm": 1.5}],
        "aggregator": "median",
        "learning_rate": {"name": "rlr", "theta": 4},
    },
    "stopping": {"name": "plateau", "monitor": "test_loss", "patience": 10},
}
SPLIT, OPTIMIZER = FIXED["split"], FIXED["training"]["optimizer"]


def name(changes: dict[str, Any] | None = None, base: dict[str, Any] | None = None) -> str:
    return identity(Experiment.model_validate({**(FIXED if base is None else base), **(changes or {})}))


GOLDEN = {1: "d5127a7534f4", 2: "44962310b0d7"}
"""Version of results -> the name of one run."""


@pytest.mark.parametrize("version", GOLDEN)
def test_a_golden_name(version: int) -> None:
    """If this fails, everyone's finished runs get new names: they are not found any more, or done again.

    A new field or option with a default must not change it. A change that gives the same config another result
    must, by raising ``identity.VERSION``; then a name is added here, and those of earlier versions stay.
    """
    assert identity(Experiment.model_validate(FIXED), version) == GOLDEN[version]


def test_every_version_has_its_names_and_the_present_one_is_meant() -> None:
    assert (
        tuple(GOLDEN)
        == tuple(range(OLDEST, VERSION + 1))
        == get_args(Study.model_fields["results"].annotation)
    )
    assert name() == GOLDEN[VERSION]
    experiment = Experiment.model_validate(FIXED)
    assert len({rounds_identity(experiment, version) for version in GOLDEN}) == len(GOLDEN)
    for version in GOLDEN:
        run = completed(experiment, version)
        assert run.identity == GOLDEN[version]
        assert run.rounds_identity == rounds_identity(experiment, version)
        assert run.with_seed(4).identity == identity(experiment.model_copy(update={"seed": 4}), version)


def test_names_are_folder_names() -> None:
    assert len(name()) == 12
    assert set(name()) <= set("0123456789abcdef")


def test_another_process_gives_the_same_name() -> None:
    code = (
        "import json, sys; from fedskew.config import Experiment; from fedskew.components.identity import identity;"
        f"print(identity(Experiment.model_validate({FIXED!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == name()


def test_explicit_defaults_change_nothing() -> None:
    assert identity(Experiment()) == identity(complete_experiment(Experiment()))
    everything = to_plain(complete_experiment(Experiment()))
    assert identity(Experiment.model_validate(everything)) == identity(Experiment())
    fixed = Experiment.model_validate(FIXED)
    everything = to_plain(complete_experiment(fixed))
    assert everything["attack"]["trigger"] == {"name": "plus", "value": 255}
    assert identity(Experiment.model_validate(everything)) == name()


@pytest.mark.parametrize(
    "changes",
    [
        {"split": {**SPLIT, "max_draws": 1000}},
        {"split": {"min_size": 0.0, **dict(reversed(SPLIT.items()))}},
        {"clients": {"fraction": 0.5, "count": 20}},
        {"data": {"name": "fashion-mnist", "validation": 0}},
        {"data": {"name": "fashion-mnist", "validation": 0.0}},
        {"evaluation": {"metrics": []}},
        {"server": {"learning_rate": 1}},
        {"defence": {**FIXED["defence"], "learning_rate": {"name": "rlr", "theta": 4.0}}},
        {"defence": {**FIXED["defence"], "aggregator": {"name": "median"}}},
        {"attack": {**FIXED["attack"], "trigger": {"name": "plus"}}},
        {"attack": {**FIXED["attack"], "trigger": {"name": "plus", "value": 255.0}}},
        {"attack": {k: v for k, v in FIXED["attack"].items() if k != "trigger"}},
        {"attack": dict(reversed(FIXED["attack"].items()))},
        {"stopping": {"name": "plateau", "monitor": "test_loss"}},
        {"training": {**FIXED["training"], "optimizer": {**OPTIMIZER, "dampening": 0}}},
        {"training": {"optimizer": OPTIMIZER}},
        {"training": {**FIXED["training"], "last_batch": "keep"}},
    ],
)
def test_other_words_for_the_same_experiment(changes: dict[str, Any]) -> None:
    assert name(changes) == name()


def test_the_order_of_fields_means_nothing() -> None:
    assert name(base=dict(reversed(FIXED.items()))) == name()


CHANGES: list[dict[str, Any]] = [
    {"seed": 4},
    {"rounds": 61},
    {"data": "mnist"},
    {"data": {"name": "fashion-mnist", "validation": 0.1}},
    {"model": "mlp"},
    {"model": {"name": "mlp", "hidden": [65]}},
    {"model": {"name": "mlp", "hidden": [64, 64]}},
    {"split": "iid"},
    {"split": {**SPLIT, "alpha": 0.25}},
    {"split": {"name": "quantity", "alpha": 0.5}},
    {"split": {**SPLIT, "remainder": "unbiased"}},
    {"split": {**SPLIT, "min_size": 1}},
    {"split": {**SPLIT, "max_draws": 9}},
    {"clients": {"count": 21, "fraction": 0.5}},
    {"clients": {"count": 20}},
    {"adversaries": {"count": 3, "data": "sample", "fraction": 0.1}},
    {"adversaries": {"count": 2}},
    {"adversaries": {"count": 2, "data": "sample", "size": 1000}},
    {"adversaries": {"count": 2, "data": "sample", "fraction": 0.1, "exclusive": False}},
    {"adversaries": {"count": 2, "data": "sample", "fraction": 0.1, "split_over": "all"}},
    {"attack": "none"},
    *(
        {"attack": {**FIXED["attack"], **change}}
        for change in (
            {"target": "Bag"},
            {"poison_fraction": 1.0},
            {"trigger": "square"},
            {"trigger": {"name": "plus", "row": 1}},
            {"trigger": {"name": "plus", "value": 254}},
            {"source_classes": [1]},
        )
    ),
    *(
        {"training": {**FIXED["training"], **change}}
        for change in (
            {"epochs": 3},
            {"batch_size": 255},
            {"last_batch": "merge"},
            {"last_batch": "drop"},
            {"lr_schedule": {"name": "exponential", "gamma": 0.9}},
            {"lr_schedule": {"name": "exponential", "gamma": 1}},
            {"optimizer": {"name": "adam", "lr": 0.1, "state": "persist"}},
            {"optimizer": {"name": "sgd", "lr": 0.1, "state": "persist"}},
            {"optimizer": {**OPTIMIZER, "lr": 0.2}},
            {"optimizer": {**OPTIMIZER, "state": "fresh"}},
            {"optimizer": {**OPTIMIZER, "nesterov": True}},
            {"optimizer": {**OPTIMIZER, "weight_decay": 1e-4}},
        )
    ),
    *(
        {"defence": {**FIXED["defence"], **change}}
        for change in (
            NO_TRANSFORMS,
            {"transforms": [{"name": "clip", "norm": 1.6}]},
            {"transforms": [{"name": "clip", "norm": 1.5}, {"name": "noise", "std": 0.1}]},
            {"transforms": [{"name": "noise", "std": 0.1}, {"name": "clip", "norm": 1.5}]},
            {"aggregator": "mean"},
            {"aggregator": "fedavg"},
            {"learning_rate": "constant"},
            {"learning_rate": {"name": "rlr", "theta": 5}},
        )
    ),
    {"server": {"learning_rate": 0.5}},
    {"stopping": "rounds"},
    {"stopping": "plateau"},
    {"stopping": {"name": "plateau", "monitor": "test_loss", "patience": 9}},
    {"stopping": {"name": "plateau", "monitor": "test_loss", "min_delta": 0.1}},
    {"evaluation": {"metrics": ["mine:metric"]}},
]


def test_every_change_that_determines_a_result_gives_another_name() -> None:
    names = [name(), *(name(change) for change in CHANGES)]
    twice = [change for change, n in zip([{}, *CHANGES], names, strict=True) if names.count(n) > 1]
    assert twice == []


def test_sgd_and_adam_with_the_same_learning_rate_differ() -> None:
    def with_optimizer(**options: Any) -> str:
        return name({"training": {"optimizer": options}}, base={})

    assert with_optimizer(name="sgd", lr=0.01) != with_optimizer(name="adam", lr=0.01)
    # Each at its own defaults: nothing but the name tells them apart.
    assert with_optimizer(name="sgd") != with_optimizer(name="adam")
    assert with_optimizer(name="adam") == name(base={})


def test_true_and_one_are_not_the_same_option() -> None:
    def with_option(value: Any) -> str:
        return name({"split": {"name": "mine:split", "x": value}}, base={})

    assert with_option(True) != with_option(1)
    assert with_option("1") != with_option(1)
    assert with_option(1.0) == with_option(1)


def test_whether_checksums_are_verified_is_no_part_of_the_result() -> None:
    assert identity(Experiment(data=Data(name="mnist", verify=False))) == identity(
        Experiment(data=Data(name="mnist"))
    )


def test_two_anonymous_functions_are_not_taken_for_one() -> None:
    """Their names are the same, so they cannot name a run: refused, or told apart, but never mixed up."""

    def anonymous(value: int) -> str:
        return identity(Experiment(stopping=Component(name=lambda history: value)))

    with contextlib.suppress(ConfigError):
        assert anonymous(1) != anonymous(2)


def test_an_invalid_experiment_has_no_name() -> None:
    with pytest.raises(ConfigError, match="unknown split"):
        name({"split": "nothing"})


def test_a_split_seed_that_is_the_seed_is_none() -> None:
    assert name({"split_seed": 3}) == name()
    assert len({name(), name({"split_seed": 4}), name({"split_seed": 3, "seed": 4})}) == 3


def test_an_option_that_is_new_renames_no_run() -> None:
    def of(**options: object) -> str:
        objective = {"name": "fedprox", "mu": 0.1, **options}
        return identity(Experiment.model_validate({"training": {"objective": objective}}), 2)

    assert of() == of(decoupled=False) == "37d7aa134553"  # as before there was `decoupled`
    assert of(decoupled=True) != of()


def test_a_planted_property_changes_the_rounds_and_none_is_none() -> None:
    """Attacks change no round but have a name of their own too, as their findings are in the records."""
    plain = Experiment.model_validate(FIXED)
    assert name({"privacy": {}}) == name({"privacy": {"property": None}}) == name()
    planted = [
        Experiment.model_validate({**FIXED, "privacy": {"property": {"name": "inverted", **more}}})
        for more in ({}, {"share": 0.2}, {"clients": 0.3})
    ]
    planted.append(Experiment.model_validate({**FIXED, "privacy": {"property": "rotated"}}))
    assert len({identity(one) for one in [plain, *planted]}) == 5
    assert len({rounds_identity(one) for one in [plain, *planted]}) == 5
    usual = {"name": "inverted", "share": 0.5, "clients": 0.5}
    assert name({"privacy": {"property": usual}}) == identity(planted[0])
