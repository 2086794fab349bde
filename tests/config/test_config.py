"""What an experiment is: defaults, what is refused and how, and that TOML gives back what went in."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fedskew.components.binding import complete_experiment
from fedskew.components.identity import identity
from fedskew.components.table import BUILT_IN
from fedskew.config import SGD, Adam, Adversaries, Component, Experiment, to_plain
from fedskew.config.build import build
from fedskew.config.origin import Origin
from fedskew.config.toml_io import write_toml
from fedskew.errors import ConfigError


def refused(content: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        build(Experiment, content)
    return caught.value


def test_the_defaults() -> None:
    experiment = Experiment()
    assert experiment.clients.count == 10
    assert experiment.clients.fraction == 1.0
    assert experiment.training.epochs == 2
    assert experiment.training.batch_size == 256
    assert experiment.training.optimizer == Adam(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, state="fresh")
    assert experiment.defence.aggregator.name == "fedavg"
    assert experiment.defence.transforms == ()
    assert experiment.server.learning_rate == 1.0
    assert experiment.adversaries.count == 0
    # All rounds that were asked for are run; and docs/design.md, rule 2: the test set decides nothing by default.
    assert experiment.stopping == Component(name="rounds")
    assert by_default("split", "dirichlet")["remainder"] == "unbiased"
    assert by_default("attack", "backdoor")["poison_fraction"] == 0.5
    assert by_default("stopping", "plateau")["monitor"] == "train_loss"
    assert by_default("lr-schedule", "plateau")["monitor"] == "validation_loss"


def by_default(kind: str, name: str) -> dict[str, Any]:
    return dict(BUILT_IN[kind][name].options)


def test_records_are_frozen() -> None:
    experiment = Experiment()
    with pytest.raises(ValidationError):
        experiment.rounds = 3
    with pytest.raises(ValidationError):
        experiment.training.epochs = 3
    with pytest.raises(ValidationError):
        experiment.split.name = "iid"


@pytest.mark.parametrize(
    ("content", "field", "listed", "hint"),
    [
        ({"round": 3}, "'round'", "rounds", "'rounds'"),
        ({"training": {"epoch": 3}}, "'training.epoch'", "batch_size", "'training.epochs'"),
        ({"clients": {"fracton": 0.5}}, "'clients.fracton'", "count, fraction", "'clients.fraction'"),
        (
            {"adversaries": {"exclusve": True}},
            "'adversaries.exclusve'",
            "split_over",
            "'adversaries.exclusive'",
        ),
        (
            {"training": {"optimizer": {"name": "sgd", "momentm": 0.9}}},
            "'training.optimizer.momentm'",
            "dampening",
            "'training.optimizer.momentum'",
        ),
        (
            {"training": {"optimizer": {"name": "adam", "beta": 0.9}}},
            "'training.optimizer.beta'",
            "amsgrad",
            "'training.optimizer.betas'",
        ),
    ],
)
def test_an_unknown_field_is_named_with_the_valid_ones_and_the_nearest(
    content: dict[str, Any], field: str, listed: str, hint: str
) -> None:
    error = refused(content)
    assert f"unknown field {field}" in error.message
    assert listed in error.message.partition("valid: ")[2]
    assert error.hint is not None
    assert hint in error.hint


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    error = refused({"zzzzzz": 1})
    assert "valid: seed, split_seed, rounds" in error.message
    assert error.hint is None


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"rounds": 0}, "rounds = 0"),
        ({"rounds": 2.5}, "rounds = 2.5"),
        ({"rounds": "many"}, "rounds = 'many'"),
        ({"seed": -1}, "seed = -1"),
        ({"clients": {"count": 0}}, "clients.count = 0"),
        ({"clients": {"fraction": 0}}, "clients.fraction = 0"),
        ({"clients": {"fraction": 1.01}}, "clients.fraction = 1.01"),
        ({"clients": 3}, "clients = 3"),
        ({"server": {"learning_rate": float("nan")}}, "server.learning_rate = nan"),
        ({"server": {"learning_rate": float("inf")}}, "server.learning_rate = inf"),
        ({"training": {"batch_size": None}}, "training.batch_size = None"),
        (
            {"training": {"optimizer": {"name": "adam", "betas": [0.9, 1.0]}}},
            "training.optimizer.betas.1 = 1.0",
        ),
        ({"training": {"optimizer": {"name": "adam", "state": "kept"}}}, "training.optimizer.state = 'kept'"),
        ({"data": {"name": "digits", "validation": -1}}, "data.validation = -1"),
        ({"data": {"name": "digits", "validation": 1.5}}, "data.validation"),
        ({"split": {"alpha": 1.0}}, "split.name is missing"),
        ({"split": 3}, "split = 3"),
    ],
)
def test_a_wrong_type_or_range_names_the_field_and_what_was_found(
    content: dict[str, Any], field: str
) -> None:
    assert field in refused(content).message


def test_every_wrong_field_gets_its_own_sentence() -> None:
    message = refused({"rounds": 0, "seed": -1, "clients": {"count": 0}}).message
    assert [line.split(": ")[1].split(" ")[0] for line in message.splitlines()] == [
        "seed",
        "rounds",
        "clients.count",
    ]


def test_an_unknown_optimizer_lists_and_suggests() -> None:
    error = refused({"training": {"optimizer": "sdg"}})
    assert "training.optimizer: unknown name 'sdg'; valid: adam, sgd" in error.message
    assert error.hint == "did you mean 'sgd'?"


def test_the_optimizer_is_a_union_by_name() -> None:
    assert Experiment(training={"optimizer": "sgd"}).training.optimizer == SGD()
    assert Experiment(training={"optimizer": {"name": "sgd", "lr": 1, "momentum": 0.9, "nesterov": True}})
    assert (
        "nesterov needs momentum"
        in refused({"training": {"optimizer": {"name": "sgd", "nesterov": True}}}).message
    )
    # Momentum belongs to the other one.
    assert "momentum" in refused({"training": {"optimizer": {"name": "adam", "momentum": 0.9}}}).message


def test_an_optimizer_without_a_name_is_told_so_in_plain_words() -> None:
    message = refused({"training": {"optimizer": {"lr": 0.1}}}).message
    assert "discriminator" not in message, "a word of pydantic's, not of a user's"
    assert "name" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"count": 1, "data": "sample"}, "either size or fraction"),
        ({"count": 1, "data": "sample", "size": 10, "fraction": 0.1}, "not both"),
        ({"count": 1, "size": 10}, 'size has no meaning with data = "share"'),
        ({"count": 1, "fraction": 0.1}, 'fraction has no meaning with data = "share"'),
        ({"count": -1}, "adversaries.count = -1"),
        ({"count": 1, "data": "sample", "fraction": 1.0}, "adversaries.fraction = 1.0"),
        ({"count": 1, "data": "sample", "size": 0}, "adversaries.size = 0"),
        ({"count": 1, "data": "shares"}, "share, sample"),
        ({"count": 10}, "adversaries.count = 10 leaves no honest client among clients.count = 10"),
    ],
)
def test_adversaries_must_be_consistent(content: dict[str, Any], words: str) -> None:
    assert words in refused({"adversaries": content}).message


def test_good_adversaries() -> None:
    assert Adversaries(count=3, data="sample", size=1000).size == 1000
    assert Experiment(adversaries={"count": 9}).adversaries.count == 9


def my_stopping(history: Any, *, patience: int = 3) -> Any:
    raise NotImplementedError


def test_a_component_is_a_name_a_table_or_a_callable() -> None:
    assert Experiment(split="iid").split == Component(name="iid")
    assert Experiment(split={"name": "dirichlet", "alpha": 0.5}).split.options == {"alpha": 0.5}
    by_callable = Experiment(stopping=my_stopping).stopping
    assert by_callable.name is my_stopping
    assert by_callable.label == f"{__name__}:my_stopping"
    assert to_plain(Experiment(stopping=my_stopping))["stopping"] == {"name": f"{__name__}:my_stopping"}


def test_a_callable_object_can_be_a_component() -> None:
    """A ``functools.partial`` or an instance with ``__call__`` has no ``__qualname__``."""

    class Patient:
        def __call__(self, history: Any) -> Any:
            raise NotImplementedError

    assert "Patient" in Experiment(stopping=Patient()).stopping.label


def test_plain_values_hold_no_none() -> None:
    plain = to_plain(Experiment(adversaries={"count": 1, "data": "sample", "size": 5}))
    assert "fraction" not in plain["adversaries"]
    assert plain["training"]["optimizer"]["betas"] == [0.9, 0.999]


NUMBER = st.floats(min_value=1e-12, max_value=1e12)
WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
OPTION = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS,
    st.lists(st.integers(0, 9), max_size=3),
)
COMPONENT = st.builds(
    lambda name, options: {**options, "name": name},
    WORDS.filter(bool),
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}x", fullmatch=True), OPTION, max_size=3),
)
OPTIMIZER = st.one_of(
    st.fixed_dictionaries(
        {"name": st.just("adam"), "lr": NUMBER, "amsgrad": st.booleans()},
        optional={"betas": st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), "state": st.just("fresh")},
    ),
    st.fixed_dictionaries(
        {"name": st.just("sgd"), "lr": NUMBER},
        optional={"momentum": st.floats(0, 2), "dampening": st.floats(0, 1)},
    ),
)
EXPERIMENT = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**63 - 1),
        "rounds": st.integers(1, 10**6),
        "split": COMPONENT,
        "model": COMPONENT,
        "attack": COMPONENT,
        "stopping": COMPONENT,
        "clients": st.fixed_dictionaries(
            {"count": st.integers(5, 99)}, optional={"fraction": st.floats(0.01, 1)}
        ),
        "adversaries": st.one_of(
            st.just({"count": 2}),
            st.fixed_dictionaries(
                {"count": st.just(1), "data": st.just("sample"), "size": st.integers(1, 999)}
            ),
        ),
        "training": st.fixed_dictionaries(
            {}, optional={"optimizer": OPTIMIZER, "epochs": st.integers(1, 9), "lr_schedule": COMPONENT}
        ),
        "defence": st.fixed_dictionaries(
            {}, optional={"transforms": st.lists(COMPONENT, max_size=3), "aggregator": COMPONENT}
        ),
        "data": st.fixed_dictionaries(
            {"name": WORDS.filter(bool)},
            optional={"validation": st.floats(0, 0.99) | st.integers(1, 10**6), "verify": st.booleans()},
        ),
    },
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(EXPERIMENT)
def test_toml_gives_back_what_went_in(content: dict[str, Any]) -> None:
    experiment = Experiment.model_validate(content)
    text = write_toml(to_plain(experiment))
    again = build(Experiment, tomllib.loads(text), Origin(text=text))
    assert again == experiment
    assert write_toml(to_plain(again)) == text


def test_the_resolved_config_has_the_identity_of_the_short_one() -> None:
    short = Experiment(
        split={"name": "dirichlet", "alpha": 1},
        adversaries={"count": 1},
        attack={"name": "backdoor", "target": 7, "trigger": "plus"},
    )
    long = build(Experiment, tomllib.loads(write_toml(to_plain(complete_experiment(short)))))
    assert long == complete_experiment(short)
    assert identity(long) == identity(short)
