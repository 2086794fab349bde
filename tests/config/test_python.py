"""Records made in Python: a wrong field is the same ``ConfigError`` as in a file, without file and line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import fedskew
from fedskew.components.identity import identity
from fedskew.config import Adam, Clients, Component, Data, Experiment, Training
from fedskew.config.build import build
from fedskew.config.origin import Origin
from fedskew.study.claim import Claim
from fedskew.study.grid import Axis, Study

NO_LEAF: dict[str, Any] = {"adversaries": {"count": 10}}
MISTAKES: list[tuple[Callable[[], object], str, str | None, str]] = [
    (
        lambda: Training(batch_size=0),
        "batch_size = 0: input should be greater than or equal to 1",
        None,
        "batch_size",
    ),
    (
        lambda: Experiment(training={"epochs": 0}),
        "training.epochs = 0: input should be greater than or equal to 1",
        None,
        "training.epochs",
    ),
    (lambda: Experiment(round=3), "unknown field 'round'; valid: seed,", "did you mean 'rounds'?", "round"),  # type: ignore[call-arg]
    (lambda: Experiment.model_validate({"seed": -1}), "seed = -1: ", None, "seed"),
    (lambda: Experiment(**NO_LEAF), "adversaries.count = 10 leaves no honest", None, ""),
    (
        lambda: Experiment(training={"last_batch": "dropp"}),
        "training.last_batch = 'dropp'; valid: keep, merge, drop",
        "did you mean 'drop'?",
        "training.last_batch",
    ),
    (lambda: Data(validation=-1), "validation = -1: ", None, "validation"),
    (lambda: Component(), "name is missing", None, "name"),  # type: ignore[call-arg]
    (lambda: Study(name="/"), "name = '/': ", None, "name"),
    (lambda: Study(name="x", seeds=(1, 1)), "seeds: give at least one seed", None, "seeds"),
    (lambda: Axis(field="rounds"), "an axis needs either field and values", None, ""),
    (
        lambda: Claim(text="t", metric="m", direction="up", over="a"),  # type: ignore[arg-type]
        "direction = 'up'; valid: rises",
        None,
        "direction",
    ),
    (lambda: Clients().model_copy(update={"count": 0}), "count = 0: ", None, "count"),
    (
        lambda: Clients().model_copy(update={"counts": 3}),
        "unknown field 'counts'; valid: count,",
        "did you mean 'count'?",
        "counts",
    ),
    (
        lambda: Experiment().model_copy(update={"training": {"epochs": "x"}}),
        "training.epochs = 'x'",
        None,
        "training.epochs",
    ),
    (lambda: Experiment().model_copy(update=NO_LEAF), "adversaries.count = 10 leaves no honest", None, ""),
]


@pytest.mark.parametrize(("make", "sentence", "hint", "field"), MISTAKES)
def test_a_wrong_field_is_one_sentence_of_fedskews(
    make: Callable[[], object], sentence: str, hint: str | None, field: str
) -> None:
    with pytest.raises(fedskew.ConfigError) as caught:
        make()
    assert caught.value.message.startswith(sentence)
    assert caught.value.hint == hint
    assert caught.value.field == field
    assert caught.value.__suppress_context__
    assert "pydantic" not in str(caught.value)


def test_the_sentence_is_the_one_from_a_file_without_the_place() -> None:
    content: dict[str, Any] = {"rounds": 0, "clients": {"cuont": 3}, "training": {"optimizer": "sdg"}}
    with pytest.raises(fedskew.ConfigError) as python:
        Experiment(**content)
    with pytest.raises(fedskew.ConfigError) as file:
        build(Experiment, content, Origin("mine.toml"))
    sentences = python.value.message.splitlines()
    assert [f"mine.toml: {sentence}" for sentence in sentences] == file.value.message.splitlines()
    assert len(sentences) == 3, "those of records inside come together with the others"
    assert python.value.hint == file.value.hint


def test_a_copy_with_changes_is_what_the_changed_values_would_have_been() -> None:
    experiment = Experiment(rounds=3, split={"name": "dirichlet", "alpha": 0.5}, training={"batch_size": 7})
    copy = experiment.model_copy(update={"seed": 4, "training": {"epochs": 1}})
    assert copy == Experiment(
        rounds=3, seed=4, split={"name": "dirichlet", "alpha": 0.5}, training={"epochs": 1}
    )
    assert isinstance(copy.training, Training)
    assert copy.model_fields_set == {"rounds", "split", "seed", "training"}
    assert copy.split is experiment.split
    assert identity(experiment.model_copy(update={"seed": 0})) == identity(experiment)
    assert experiment.model_copy() == experiment
    assert experiment.training.model_copy(update={"optimizer": "sgd"}).optimizer.name == "sgd"
    assert Adam().model_copy(update={"lr": 1}, deep=True) == Adam(lr=1.0)
    assert pickle.loads(pickle.dumps(copy)) == copy


def test_a_copy_of_a_component_keeps_its_options_also_those_called_like_a_method() -> None:
    component = Component(name="mine", copy=3, label="x", alpha=0.5)
    changed = component.model_copy(update={"alpha": 1.0, "beta": None})
    assert changed.options == {"copy": 3, "label": "x", "alpha": 1.0, "beta": None}
    assert changed.name == "mine"
    data = Data(name="npz", path="x.npz", validation=0.1).model_copy(update={"validation": 5})
    assert (type(data), data.validation, data.options) == (Data, 5, {"path": "x.npz"})
