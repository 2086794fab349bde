"""Defaults that have changed: what is filled in as before, and that no run has another name because of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedskew.components.earlier import FIELDS, FIRST, OPTIONS, PRESENT, as_before
from fedskew.components.identity import identity
from fedskew.components.table import BUILT_IN
from fedskew.config import SGD, Adam, Component, Experiment, to_plain
from fedskew.config.experiment import Optimizer
from fedskew.study.grid import Study
from helpers import PROPERTY

DIRICHLET: dict[str, Any] = {"name": "dirichlet", "alpha": 0.5}
BACKDOOR: dict[str, Any] = {"name": "backdoor", "target": 7}
PERSISTENT = {"optimizer": {"name": "adam", "state": "persist"}}
EVERYTHING = {"stopping": "plateau", "training": PERSISTENT}
"""What is filled in where nothing is said."""


def name(content: dict[str, Any]) -> str:
    return identity(Experiment.model_validate(content))


# --- the table --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "component", "option"), [(k, c, o) for k in OPTIONS for c in OPTIONS[k] for o in OPTIONS[k][c]]
)
def test_an_option_of_the_table_exists_and_has_another_default_now(
    kind: str, component: str, option: str
) -> None:
    assert BUILT_IN[kind][component].options[option] != OPTIONS[kind][component][option]
    assert kind in Experiment.model_fields, "as_before looks for the kind as a field of an experiment"


def defaults(path: str) -> Iterator[Any]:
    """The present default of a field, of each optimiser where it is an optimiser's."""
    optimizer = "training.optimizer."
    if path.startswith(optimizer):
        for record in get_args(get_args(Optimizer)[0]):
            yield record.model_fields[path.removeprefix(optimizer)].default
    else:
        yield Experiment.model_fields[path].default


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_of_the_table_exists_and_has_another_default_now(path: str) -> None:
    found = list(defaults(path))
    assert len(found) == (2 if path.startswith("training.optimizer.") else 1)
    for default in found:
        assert (default.name if isinstance(default, Component) else default) != FIELDS[path]


def test_four_defaults_have_changed() -> None:
    """Whoever changes a fifth one adds a set; existing studies would otherwise mean other runs."""
    assert FIELDS == {"training.optimizer.state": "persist", "stopping": "plateau"}
    assert OPTIONS == {
        "split": {"dirichlet": {"remainder": "first"}},
        "attack": {"backdoor": {"poison_fraction": 1.0}},
    }
    assert (FIRST, PRESENT) == (1, 2) == get_args(Study.model_fields["defaults"].annotation)
    assert Study(name="s").defaults == PRESENT


# --- what is filled in ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "filled"),
    [
        ({}, EVERYTHING),
        ({"rounds": 3, "training": {"epochs": 1}}, {"rounds": 3, "training": {"epochs": 1} | PERSISTENT}),
        # By name only
        ({"training": {"optimizer": "adam"}}, {}),
        ({"training": {"optimizer": "sgd"}}, {"training": {"optimizer": {"name": "sgd", "state": "persist"}}}),
        ({"split": "iid", "attack": "none"}, {"split": "iid", "attack": "none"}),
        # As tables
        ({"split": DIRICHLET}, {"split": DIRICHLET | {"remainder": "first"}}),
        ({"attack": BACKDOOR}, {"attack": BACKDOOR | {"poison_fraction": 1.0}}),
        (
            {"training": {"optimizer": {"name": "sgd", "lr": 0.1}}},
            {"training": {"optimizer": {"name": "sgd", "lr": 0.1, "state": "persist"}}},
        ),
        ({"stopping": {"name": "plateau", "patience": 3}}, {"stopping": {"name": "plateau", "patience": 3}}),
        # Given, as it is now and as it was
        ({"stopping": "rounds"}, {"stopping": "rounds"}),
        ({"stopping": "plateau"}, {"stopping": "plateau"}),
        *(
            ({"split": DIRICHLET | {"remainder": value}}, {"split": DIRICHLET | {"remainder": value}})
            for value in ("first", "unbiased")
        ),
        *(
            ({"attack": BACKDOOR | {"poison_fraction": value}}, {"attack": BACKDOOR | {"poison_fraction": value}})
            for value in (0.0, 0.5, 1.0)
        ),
        *(
            ({"training": {"optimizer": {"name": name, "state": "fresh"}}},) * 2
            for name in ("adam", "sgd")
        ),
        # Others, among them those that are called alike
        ({"split": {"name": "quantity", "alpha": 0.5}}, {"split": {"name": "quantity", "alpha": 0.5}}),
        ({"split": {"name": "mine:dirichlet", "alpha": 1}}, {"split": {"name": "mine:dirichlet", "alpha": 1}}),
        ({"attack": {"name": "sign-flip", "scale": 2.0}}, {"attack": {"name": "sign-flip", "scale": 2.0}}),
        # No tables: left as they are for the check that names them
        ({"split": 3, "attack": None}, {"split": 3, "attack": None}),
        ({"training": 3}, {"training": 3}),
        ({"training": {"optimizer": 3}}, {"training": {"optimizer": 3}}),
    ],
)  # fmt: skip
def test_what_is_not_said_is_filled_in_and_nothing_else(
    content: dict[str, Any], filled: dict[str, Any]
) -> None:
    before = copy.deepcopy(content)
    assert as_before(content) == EVERYTHING | filled
    assert content == before, "the caller's values changed"


OPTIMIZERS = st.one_of(
    st.sampled_from(["adam", "sgd"]),
    st.fixed_dictionaries(
        {"name": st.sampled_from(["adam", "sgd"])},
        optional={"lr": st.sampled_from([0.1, 0.01]), "state": st.sampled_from(["fresh", "persist"])},
    ),
)
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 3),
        "stopping": st.sampled_from(["rounds", "plateau", {"name": "plateau", "patience": 10}]),
        "split": st.one_of(
            st.just("iid"),
            st.fixed_dictionaries(
                {"name": st.just("dirichlet"), "alpha": st.sampled_from([0.5, 1.0])},
                optional={"remainder": st.sampled_from(["first", "unbiased"])},
            ),
        ),
        "attack": st.one_of(
            st.just("none"),
            st.fixed_dictionaries(
                {"name": st.just("backdoor"), "target": st.just(7)},
                optional={"poison_fraction": st.sampled_from([0.5, 1.0])},
            ),
        ),
        "training": st.fixed_dictionaries({}, optional={"epochs": st.just(3), "optimizer": OPTIMIZERS}),
    },
)


def said(content: dict[str, Any]) -> dict[str, Any]:
    """Dotted path -> value of all that is given, the name of a component under ``name``."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        named = {"name": value} if key in ("stopping", "split", "attack", "optimizer") else value
        inner = value if isinstance(value, dict) else named
        found |= (
            {f"{key}.{n}": v for n, v in said(inner).items()} if isinstance(inner, dict) else {key: value}
        )
    return found


@PROPERTY
@given(CONTENTS)
def test_what_is_given_stays_and_filling_in_twice_is_filling_in_once(content: dict[str, Any]) -> None:
    filled = as_before(content)
    assert said(content).items() <= said(filled).items()
    assert as_before(filled) == filled
    one = Experiment.model_validate(filled)
    assert one.training.optimizer.state == said(content).get("training.optimizer.state", "persist")
    assert one.stopping.name == said(content).get("stopping.name", "plateau")


# --- names ------------------------------------------------------------------------------------------

GOLDEN: dict[tuple[str, str], dict[str, Any]] = {
    ("88a8bd36bf42", "1fe7def5a940"): {},
    ("4c43c0a57dd5", "79d2cfa29b31"): {"split": DIRICHLET},
    ("3f7f54f859b5", "713fa12b29d9"): {"split": DIRICHLET, "attack": BACKDOOR},
    ("4372f7f60b0d", "a8aec4e44c94"): {"training": {"optimizer": "sgd"}},
    ("a34585051b01", "40bede600263"): {"stopping": {"name": "plateau", "patience": 3}},
    ("be18052050d1", "27d479db83df"): {"stopping": "rounds"},
}
"""Names of runs, with results of version 1 and of version 2; the first as they were before any default changed."""


@pytest.mark.parametrize("golden", GOLDEN)
def test_runs_of_the_earlier_defaults_keep_their_names(golden: tuple[str, str]) -> None:
    experiment = Experiment.model_validate(as_before(GOLDEN[golden]))
    assert (identity(experiment, 1), identity(experiment, 2)) == golden


@PROPERTY
@given(CONTENTS)
def test_the_same_meaning_has_the_same_name_however_it_is_written(content: dict[str, Any]) -> None:
    """Silence, or all values spelt out; under either set of defaults."""
    for meant in (content, as_before(content)):
        one = Experiment.model_validate(meant)
        assert identity(Experiment.model_validate(to_plain(one))) == identity(one)


NOW_AND_THEN: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        {"stopping": "rounds", "training": PERSISTENT, "split": DIRICHLET},
        {"split": {"remainder": "unbiased"}},
        {"split": {"remainder": "first"}},
    ),
    (
        {"stopping": "rounds", "training": PERSISTENT, "attack": BACKDOOR},
        {"attack": {"poison_fraction": 0.5}},
        {"attack": {"poison_fraction": 1.0}},
    ),
    ({"training": PERSISTENT}, {"stopping": {"name": "rounds"}}, {"stopping": {"name": "plateau"}}),
    *(
        (
            {"stopping": "rounds", "training": {"optimizer": {"name": optimizer}}},
            {"training": {"optimizer": {"state": "fresh"}}},
            {"training": {"optimizer": {"state": "persist"}}},
        )
        for optimizer in ("adam", "sgd")
    ),
]
"""What is silent about one changed default; that default spelt out as it is now, and as it was."""


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        **one,
        **{key: merged(one.get(key, {}), v) if isinstance(v, dict) else v for key, v in other.items()},
    }


@pytest.mark.parametrize(("silent", "now", "then"), NOW_AND_THEN)
def test_each_changed_default_means_another_run_than_it_did(
    silent: dict[str, Any], now: dict[str, Any], then: dict[str, Any]
) -> None:
    assert name(silent) == name(merged(silent, now))
    assert name(as_before(silent)) == name(merged(silent, then)) == name(as_before(merged(silent, then)))
    assert name(as_before(merged(silent, now))) == name(silent), "what is given is what is run"
    assert name(silent) != name(as_before(silent))


def test_an_optimizer_as_a_record_is_what_it_is_as_a_table() -> None:
    for record in (Adam(), SGD(), Adam(state="persist"), SGD(state="persist")):
        table = {"name": record.name, "state": record.state}
        assert name({"training": {"optimizer": record}}) == name({"training": {"optimizer": table}})
